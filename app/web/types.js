/**
 * The page's types. The first part describes the API's answers, as far as the page reads them: a test holds the names and
 * members to app/schemas. The second part describes what the page's modules pass to each other. `make check-js` reads this
 * file; browsers never load it.
 */

/** @import { Cells, Unit } from "./stage/units.js" */
/** @import { Surgery } from "./surgery/surgery.js" */

// The API's answers.

/**
 * @typedef {object} ChannelAnswer
 * @property {number} index
 * @property {number} mean
 * @property {number} peak
 * @property {string} thumbnail a PNG data URI; the page always asks for thumbnails
 */

/**
 * @typedef {object} FeatureMapAnswer
 * @property {string} stage
 * @property {string} kind
 * @property {number[]} shape
 * @property {number} min
 * @property {ChannelAnswer[]} channels the strongest channels, the strongest first
 */

/**
 * @typedef {object} ImageAnswer
 * @property {number} width in pixels, upright
 * @property {number} height
 * @property {string} format
 * @property {boolean} animated
 * @property {number} bytes
 * @property {string} sha256
 */

/**
 * @typedef {object} ModelAnswer
 * @property {string} network
 * @property {string} version
 * @property {string} sha256
 * @property {number[]} input_shape
 */

/**
 * @typedef {object} Prediction
 * @property {string} label
 * @property {string} verdict
 * @property {Record<string, number>} probabilities
 * @property {FeatureMapAnswer[]} feature_maps
 * @property {string | null} heatmap a PNG data URI
 * @property {number | null} heatmap_peak
 * @property {string | null} heatmap_class whose evidence it shows
 * @property {string | null} input a WebP data URI, where it was asked for
 * @property {ImageAnswer} image
 * @property {ModelAnswer} model
 * @property {Record<string, number>} timings_ms
 */

/**
 * @typedef {object} WindowAnswer
 * @property {[number, number]} size [rows, columns]
 * @property {[number, number]} step
 * @property {[number, number]} offset
 */

/**
 * @typedef {object} StageAnswer
 * @property {string} name
 * @property {string} kind
 * @property {number[]} shape [height, width, channels], or [n] for a dense stage
 * @property {string[]} inputs
 * @property {number} parameters
 * @property {number[] | null} [kernel] [height, width]
 * @property {number[] | null} [stride]
 * @property {string | null} [activation]
 * @property {string | null} [operation]
 * @property {WindowAnswer} window
 * @property {WindowAnswer} receptive_field
 */

/**
 * @typedef {object} NetworkAnswer
 * @property {string} network
 * @property {string[]} classes
 * @property {number[]} input_shape
 * @property {number} parameters
 * @property {[number, number]} unsure
 * @property {Record<string, number>} accuracy
 * @property {Record<string, number>} guises
 * @property {number} photos
 * @property {number | null} kept_epochs the last epoch of its training that can be asked for; null: none
 */

/**
 * @typedef {object} EpochAnswer
 * @property {number} epoch 0 is the random start
 * @property {number} loss on validation photos
 * @property {number} accuracy
 * @property {number | null} learning_rate null at the start
 */

/**
 * @typedef {object} Epochs
 * @property {number} shipped the epoch that is served
 * @property {EpochAnswer[]} epochs from 0 on
 */

/**
 * @typedef {object} StepAnswer one step of gradient descent on a photo, shown for one filter
 * @property {string} stage
 * @property {number} channel
 * @property {string} truth the class that is right
 * @property {{ before: number, after: number }} loss
 * @property {{ before: Record<string, number>, after: Record<string, number> }} probabilities
 * @property {number} learning_rate what the gradient is multiplied by
 * @property {number} step the same, for colours from 0 to 1
 * @property {{ before: Cells, gradient: Cells, after: Cells }} kernel
 */

/**
 * @typedef {object} Networks
 * @property {string} default
 * @property {NetworkAnswer[]} networks
 * @property {KeptPhotos} kept
 */

/**
 * @typedef {object} KeptPhotos
 * @property {"nothing" | "corrections" | "unsure"} photos
 * @property {number} days 0: for ever
 */

/**
 * @typedef {object} NetworkStages
 * @property {StageAnswer[]} stages
 * @property {StageAnswer[]} inner the layers inside stages that consist of several
 */

/**
 * @typedef {object} MeasuredAnswer
 * @property {"test" | "validation"} how
 * @property {string} photos_of the set's name, or how validation photos were set aside
 * @property {number} photos
 * @property {number} accuracy
 * @property {number} low
 * @property {number} high
 */

/** @typedef {NetworkAnswer & NetworkStages & { measured: MeasuredAnswer[] }} NetworkDetail */

/**
 * @typedef {object} BoxAnswer
 * @property {number} top
 * @property {number} left
 * @property {number} bottom
 * @property {number} right
 */

/**
 * @typedef {object} ChannelSummary
 * @property {number} mean
 * @property {number} peak
 */

/**
 * @typedef {object} SheetAnswer one picture of all channels
 * @property {string} picture
 * @property {number} columns
 * @property {[number, number]} cell [height, width] of a channel in pixels
 * @property {number} gap
 */

/**
 * @typedef {object} ScaleAnswer
 * @property {number} bottom
 * @property {number} top
 */

/**
 * @typedef {object} PlaneAnswer
 * @property {number} index
 * @property {string} picture
 * @property {string | null} values float32, little-endian, in base64; null where they were not asked for
 */

/**
 * @typedef {object} StageExplanation
 * @property {string} stage
 * @property {number[]} shape
 * @property {ScaleAnswer} scale
 * @property {SheetAnswer | null} sheet
 * @property {ChannelSummary[]} channels
 * @property {string | null} picture the network's input, if that was asked for
 * @property {PlaneAnswer | null} plane the channel that was asked for
 */

/**
 * @typedef {object} EffectAnswer
 * @property {number} channel
 * @property {number} change of the label's probability, if the channel is muted
 */

/**
 * @typedef {object} EffectsAnswer
 * @property {string} label
 * @property {number} channels how many the stage has
 * @property {EffectAnswer[]} effects the largest change first
 */

/**
 * @typedef {object} GuiseNetworkAnswer
 * @property {string} label
 * @property {string} verdict
 * @property {Record<string, number>} probabilities
 * @property {boolean} same
 */

/**
 * @typedef {object} GuiseAnswer
 * @property {string} guise
 * @property {string} thumbnail
 * @property {Record<string, GuiseNetworkAnswer>} networks
 */

/**
 * @typedef {object} Guises
 * @property {GuiseAnswer[]} guises
 * @property {Record<string, number>} kept
 */

/** @typedef {{ inputs: Record<string, string> }} Inputs the second line of a walk */

/** @typedef {{ guises: Guises }} Disguised the third line of a walk */

// What the page's modules pass to each other.

/**
 * @typedef {object} PickedPhoto
 * @property {Blob} file
 * @property {string} name
 */

/**
 * @typedef {object} PhotoDetails
 * @property {string} objectUrl the file's own address, which is revoked when another photo comes
 * @property {string} url the picture to show: objectUrl, or what stands in for a format that browsers do not show
 * @property {number} width in pixels, 0 until the photo is answered
 * @property {number} height
 * @property {Guises | null} guises
 * @property {Record<string, Blob>} inputs what each network saw: small files that stand for the photo
 * @property {Upload | null} upload null until the photo is sent
 * @property {AbortController} leaving aborts the upload when another photo comes
 */

/**
 * @typedef {{ first: Promise<Prediction>, inputs: Promise<Inputs>, guises: Promise<Disguised> }} Upload the lines of a walk
 */

/** @typedef {PickedPhoto & PhotoDetails} Photo */

/**
 * @typedef {object} Edit a change of the network, as the API takes it
 * @property {string} stage
 * @property {number} [channel] without it, the whole stage is muted
 * @property {true} [mute]
 * @property {Cells} [kernel]
 */

/**
 * @typedef {object} Shown a channel that is looked at
 * @property {StageAnswer} layer
 * @property {PlaneAnswer} plane
 * @property {ScaleAnswer} scale the stage's colours
 * @property {Float32Array} values row by row
 */

/**
 * @typedef {object} UnitPosition
 * @property {number} row
 * @property {number} column
 */

/**
 * @typedef {object} Position where in the walk the visitor is; null is what the page chooses
 * @property {string | null} network
 * @property {string | null} stage
 * @property {number | null} channel
 * @property {number | null} row
 * @property {number | null} column
 * @property {number | null} [epoch] where the timeline of the training is; null while it is closed
 */

/** @typedef {Position & { photo: string | null, model: string | null }} SharedPosition both are SHA-256 */

/**
 * @typedef {object} Walk a downloaded walk; member names are part of its file format
 * @property {string} format
 * @property {number} version
 * @property {ImageAnswer & { name: string }} photo
 * @property {ModelAnswer} model
 * @property {Omit<Position, "network">} place
 * @property {{ opacity: number | null }} settings
 * @property {{ predict: Omit<Prediction, "heatmap" | "input">, unit: Unit | null, guises: object | null }} answers
 * @property {string | null} picture the photo as a data URI
 */

/**
 * @typedef {{ photo: string, model: string | null, probability: number | null, quiet?: boolean }} Expected what a replayed walk
 *   promises; `quiet`: nothing is said of the same photo
 */

/**
 * @typedef {object} StageContext everything that the stages of one photo share
 * @property {Photo} photo
 * @property {NetworkDetail} detail
 * @property {Prediction} prediction with thumbnails
 * @property {AbortSignal} signal ends all requests about the photo
 * @property {Surgery} surgery the visitor's changes of the network
 */

/**
 * @typedef {object} StageListeners
 * @property {(position: Partial<Position>, newEntry: boolean) => void} move the visitor is at another position
 * @property {(stage: string) => void} open another stage is wanted
 * @property {(by: number) => void} step the stage that many further on is wanted
 * @property {(unit: Unit) => void} unit a unit was explained
 * @property {(error: unknown) => void} trouble
 */

export {};
