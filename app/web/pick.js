/** Where a visitor looks first: the channel that stands out, the unit with the largest value. */

/** float32 numbers from base64. */
export function decode(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** The unit that a place names, or null if it names none of a stage of that shape. */
export function within({ row, column } = {}, [height, width]) {
  return row !== null && row !== undefined && column !== null && column !== undefined && row < height && column < width ? { row, column } : null;
}

/** Of the strongest channels the one that stands out most from its own mean: it has found something somewhere. */
export function standout(strongest = []) {
  const contrast = ({ peak, mean }) => peak - mean;
  return strongest.reduce((best, one) => (contrast(one) > contrast(best) ? one : best), strongest[0])?.index ?? 0;
}

/**
 * The place of the largest value; of several, the one nearest the middle. The outermost places, where filters also see what
 * lies beyond the picture, are passed over if there are others.
 */
export function largest(values, [height, width]) {
  const edge = Math.min(height, width) >= 5 ? 1 : 0;
  const inner = (place) => {
    const [row, column] = [Math.floor(place / width), place % width];
    return row >= edge && column >= edge && row < height - edge && column < width - edge;
  };
  const from = (place) => Math.hypot(Math.floor(place / width) - (height - 1) / 2, (place % width) - (width - 1) / 2);
  const better = (one, best) => !inner(best) || values[one] > values[best] || (values[one] === values[best] && from(one) < from(best));
  const place = values.reduce((best, _, index) => (inner(index) && better(index, best) ? index : best), 0);
  return { row: Math.floor(place / width), column: place % width };
}
