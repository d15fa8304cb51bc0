/** The types of the act "Teach": what the API answers about jobs, and what its modules pass to each other. Never loaded. */

/**
 * @typedef {object} Figure a share of photos with the ends of its 95 % interval
 * @property {number} value 0..1
 * @property {number} low
 * @property {number} high
 * @property {number} count of photos
 */

/**
 * @typedef {object} Mistake a photo that was answered wrongly when it had not been seen
 * @property {string} name "class/filename"
 * @property {string} shows its class
 * @property {string} said the class of the answer
 * @property {number} probability of that class
 */

/**
 * @typedef {object} Metrics what cross-validation says of a network
 * @property {number} folds
 * @property {number} photos
 * @property {number} alike
 * @property {Figure} accuracy
 * @property {Record<string, Figure>} recall
 * @property {number[][]} confusion a row for each class that photos show, a column for each that was said
 * @property {number} decided_accuracy
 * @property {number} unsure
 * @property {Mistake[]} mistakes the most confident first
 */

/**
 * @typedef {object} Job
 * @property {string} job its name
 * @property {"waiting" | "running" | "done" | "failed" | "cancelled"} state
 * @property {number} progress 0..1
 * @property {string} network
 * @property {Record<string, number>} classes photos of each
 * @property {string | null} error
 * @property {Metrics | null} metrics once it is done
 * @property {string[]} warnings
 * @property {{ name: string, why: string }[]} skipped
 */

/**
 * @typedef {object} Store
 * @property {string[]} kept sentences: what is kept, and where
 * @property {number} networks
 * @property {number} bytes
 */

/** @typedef {{ jobs: Job[], networks: string[], store: Store }} Taught the answer of GET /teach */

/** @typedef {{ name: string, photos: File[] }} PhotosOfClass */

/** @typedef {Map<string, File>} Sent photos by "class/filename" */

export {};
