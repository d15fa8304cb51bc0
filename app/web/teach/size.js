/** Bytes in, text out. */
// @ts-check

/**
 * 48211 as "48 kB", 15400000 as "15.4 MB".
 *
 * @param {number} bytes
 */
export const size = (bytes) => (bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
