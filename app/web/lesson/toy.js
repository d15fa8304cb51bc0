/** The toy's arithmetic, in whole numbers: a picture and a filter in, sums and maps out. It needs no page; tests hold it to NumPy. */
// @ts-check

/** @typedef {number[][]} Grid numbers by [row][column] */
/** @typedef {{ value: number, weight: number }} Product one term of a dot product */

/** A grid from its rows; "-" is −1. @type {(rows: string) => Grid} */
const grid = (rows) => rows.split(" ").map((row) => [...row].map((cell) => (cell === "-" ? -1 : Number(cell))));

/** The chapter's picture: a small cross with a tail. */
export const IMAGE = grid("01000 11100 01001 00010 00100");

/** The chapter's filters. @type {Record<string, Grid>} */
export const FILTERS = { plus: grid("010 111 010"), "rising line": grid("001 010 100"), "left edge": grid("-01 -01 -01") };

/** How many positions a window has along a side. @type {(size: number, kernel: number, stride: number, padding: number) => number} */
export const outputSize = (size, kernel, stride, padding) =>
  Math.max(0, Math.floor((size + 2 * padding - kernel) / stride) + 1);

/** A square grid of what `cell` gives for each place. @type {(side: number, cell: (row: number, column: number) => number) => Grid} */
const square = (side, cell) => Array.from({ length: side }, (_, y) => Array.from({ length: side }, (_, x) => cell(y, x)));

/** The picture with a border of zeros. @type {(image: Grid, padding: number) => Grid} */
export const padded = (image, padding) =>
  square(image.length + 2 * padding, (row, column) => image[row - padding]?.[column - padding] ?? 0);

/** The filter with another side: its cells are kept, new ones are 0. @type {(filter: Grid, side: number) => Grid} */
export const resized = (filter, side) => square(side, (row, column) => filter[row]?.[column] ?? 0);

/** The grid with another number at a place. @type {(grid: Grid, row: number, column: number, value: number) => Grid} */
export const changed = (grid, row, column, value) =>
  square(grid.length, (y, x) => (y === row && x === column ? value : grid[y][x]));

/**
 * The terms of the dot product at a position, row by row; the picture has its padding.
 *
 * @type {(picture: Grid, filter: Grid, stride: number, row: number, column: number) => Product[]}
 */
export const products = (picture, filter, stride, row, column) =>
  filter.flatMap((weights, y) =>
    weights.map((weight, x) => ({ value: picture[row * stride + y][column * stride + x], weight })),
  );

/** Their sum. @type {(terms: Product[]) => number} */
export const total = (terms) => terms.reduce((sum, { value, weight }) => sum + value * weight, 0);

/** The dot product at every position. @type {(image: Grid, filter: Grid, stride: number, padding: number) => Grid} */
export const featureMap = (image, filter, stride, padding) =>
  square(outputSize(image.length, filter.length, stride, padding), (row, column) =>
    total(products(padded(image, padding), filter, stride, row, column)),
  );

/** The largest of each window; what does not fill one is left out. @type {(map: Grid, side: number) => Grid} */
export const pooled = (map, side) =>
  square(outputSize(map.length, side, side, 0), (row, column) => {
    const lines = map.slice(row * side, (row + 1) * side);
    return Math.max(...lines.flatMap((line) => line.slice(column * side, (column + 1) * side)));
  });

/** ReLU. @type {(map: Grid) => Grid} */
export const clipped = (map) => map.map((row) => row.map((value) => Math.max(0, value)));
