/**
 * The types of /explain/unit's answers: what all of them have, and what each kind of stage has in addition. A test holds the
 * members to app/schemas. `make check-js` reads this file; browsers never load it.
 */

/** @import { BoxAnswer } from "../types.js" */

/** @typedef {number[][][]} Cells numbers by [row][column][channel] */

/**
 * @typedef {object} ContributionAnswer
 * @property {number} index
 * @property {number | null} row null, as column and channel are, where no picture was flattened
 * @property {number | null} column
 * @property {number | null} channel
 * @property {number} value
 * @property {number} weight
 * @property {number} product
 */

/**
 * @typedef {object} UnitExplanation what every answer of /explain/unit has
 * @property {string} stage
 * @property {string[]} inputs
 * @property {number} row
 * @property {number} column
 * @property {number} channel
 * @property {BoxAnswer} window
 * @property {BoxAnswer} receptive_field
 * @property {string | null} [activation]
 * @property {boolean} [muted] whether an edit mutes its channel
 * @property {number} value
 * @property {number} computed
 * @property {number} difference
 */

// What an answer of /explain/unit has in addition, by its kind.

/**
 * @typedef {object} ConvolutionSteps
 * @property {"convolution" | "depthwise_convolution"} kind
 * @property {Cells} patch
 * @property {Cells} kernel
 * @property {Cells} products
 * @property {number[]} channel_sums
 * @property {number} products_sum
 * @property {number} bias
 * @property {number} sum
 */

/**
 * @typedef {object} MaxPoolingSteps
 * @property {"pooling"} kind
 * @property {"max"} operation
 * @property {Cells} patch
 * @property {number} maximum
 * @property {[number, number]} maximum_at
 */

/**
 * @typedef {object} AveragePoolingSteps
 * @property {"pooling"} kind
 * @property {"average"} operation
 * @property {Cells} patch
 * @property {number} sum
 * @property {number} count
 */

/**
 * @typedef {object} LogMeanExpSteps
 * @property {"pooling"} kind
 * @property {"log_mean_exp"} operation
 * @property {Cells} patch
 * @property {number} maximum
 * @property {number} mean
 */

/**
 * @typedef {object} ReluSteps
 * @property {"relu"} kind
 * @property {Cells} patch
 */

/**
 * @typedef {object} ActivationSteps
 * @property {"activation"} kind
 * @property {string} operation
 * @property {Cells} patch
 * @property {number} [slope] of a PReLU
 */

/**
 * @typedef {object} RescalingSteps
 * @property {"rescaling"} kind
 * @property {Cells} patch
 * @property {number} scale
 * @property {number} offset
 */

/**
 * @typedef {object} TermsSteps
 * @property {"add" | "multiplication"} kind
 * @property {number[]} terms
 */

/**
 * @typedef {object} PaddingSteps
 * @property {"padding" | "cropping"} kind
 */

/** @typedef {{ kind: "resizing", patch: Cells, kernel: Cells }} ResizingSteps */

/**
 * @typedef {{ kind: "normalization", patch: Cells, mean: number, variance: number, epsilon: number, scale: number,
 *   offset: number }} NormalizationSteps
 */

/**
 * @typedef {object} ConcatenationSteps
 * @property {"concatenation"} kind
 * @property {[number, number, number]} source
 * @property {number} chosen
 */

/**
 * @typedef {object} FlattenSteps
 * @property {"flatten"} kind
 * @property {[number, number, number]} source
 */

/**
 * @typedef {object} DenseSteps
 * @property {"dense"} kind
 * @property {ContributionAnswer[]} contributions
 * @property {number} others
 * @property {number} others_sum
 * @property {number} products_sum
 * @property {number} bias
 * @property {number} sum
 */

/**
 * @typedef {object} ProbabilitiesSteps
 * @property {"probabilities"} kind
 * @property {number[]} terms
 * @property {number[]} exponentials
 * @property {number} total
 */

/** @typedef {UnitExplanation & ConvolutionSteps} ConvolutionUnit */
/** @typedef {UnitExplanation & (MaxPoolingSteps | AveragePoolingSteps | LogMeanExpSteps)} PoolingUnit */
/** @typedef {UnitExplanation & (ReluSteps | ActivationSteps)} ElementwiseUnit */
/** @typedef {UnitExplanation & RescalingSteps} RescalingUnit */
/** @typedef {UnitExplanation & TermsSteps} TermsUnit */
/** @typedef {UnitExplanation & PaddingSteps} PaddingUnit */
/** @typedef {UnitExplanation & ResizingSteps} ResizingUnit */
/** @typedef {UnitExplanation & NormalizationSteps} NormalizationUnit */
/** @typedef {UnitExplanation & ConcatenationSteps} ConcatenationUnit */
/** @typedef {UnitExplanation & FlattenSteps} FlattenUnit */
/** @typedef {UnitExplanation & DenseSteps} DenseUnit */
/** @typedef {UnitExplanation & ProbabilitiesSteps} ProbabilitiesUnit */

/**
 * @typedef {ConvolutionUnit | PoolingUnit | ElementwiseUnit | RescalingUnit | TermsUnit | PaddingUnit | ConcatenationUnit
 *   | ResizingUnit | NormalizationUnit | FlattenUnit | DenseUnit | ProbabilitiesUnit} Unit an answer of /explain/unit
 */

export {};
