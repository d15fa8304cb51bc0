/** The types of corrections, as the API answers them. Never loaded. */

/**
 * @typedef {object} Correction
 * @property {string} id
 * @property {"corrected" | "unsure"} kind
 * @property {string} sha256 of the photo
 * @property {string | null} label the right class; null where nobody has said it
 * @property {string} network
 * @property {string} version
 * @property {string} verdict what the network said
 * @property {Record<string, number>} probabilities
 * @property {string} time
 * @property {string | null} kept_until
 */

/**
 * @typedef {object} Kept
 * @property {number} corrected
 * @property {number} unsure
 * @property {number} photos
 * @property {number} bytes
 * @property {number} days after which everything is deleted; 0: never
 * @property {string} where
 */

/** @typedef {{ corrections: Correction[], next: string | null, kept: Kept }} Corrections */

export {};
