"""The layers, options and calculations that a file may name; whatever is not here is refused before Keras sees it."""

LAYERS: dict[str, str] = {
    "InputLayer": "batch_shape",
    "Conv2D": "filters kernel_size strides padding dilation_rate groups activation use_bias",
    "DepthwiseConv2D": "kernel_size strides padding depth_multiplier dilation_rate activation use_bias",
    "SeparableConv2D": "filters kernel_size strides padding dilation_rate depth_multiplier activation use_bias",
    "Dense": "units activation use_bias",
    "BatchNormalization": "axis momentum epsilon center scale",
    "LayerNormalization": "axis epsilon center scale",
    "LayerScale": "init_values projection_dim",
    "Rescaling": "scale offset",
    "Normalization": "axis mean variance invert",
    "MaxPooling2D": "pool_size strides padding",
    "AveragePooling2D": "pool_size strides padding",
    "GlobalAveragePooling2D": "keepdims",
    "GlobalMaxPooling2D": "keepdims",
    "Activation": "activation",
    "ReLU": "max_value negative_slope threshold",
    "LeakyReLU": "negative_slope",
    "PReLU": "shared_axes",
    "ELU": "alpha",
    "Softmax": "axis",
    "ZeroPadding2D": "padding",
    "Cropping2D": "cropping",
    "CenterCrop": "height width",
    "Resizing": "height width interpolation antialias crop_to_aspect_ratio pad_to_aspect_ratio",
    "UpSampling2D": "size interpolation",
    "Add": "",
    "Multiply": "",
    "Concatenate": "axis",
    "Flatten": "",
    "Reshape": "target_shape",
    "Identity": "",
}
"""Keras' layers by class, and the options that say what they compute."""

IDLE = {
    *("Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization"),
    *("Identity", "StochasticDepth", "AutoContrast", "CutMix", "MixUp", "Solarization", "AugMix", "RandAugment"),
    *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomCrop", "RandomErasing"),
    *("RandomElasticTransform", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHeight", "RandomHue"),
    *("RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness"),
    *("RandomShear", "RandomTranslation", "RandomWidth", "RandomZoom", "Equalization"),
} - {"AutoContrast", "Solarization", "Equalization", "RandomCrop", "RandomHeight", "RandomWidth"}
"""Layers that pass on what they get unless the network learns."""

LEARNING = {
    *("name", "trainable", "dtype", "data_format", "batch_input_shape", "input_shape", "ragged", "sparse", "optional"),
    *("synchronized", "fused", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "lora_rank"),
    *("lora_alpha", "quantization_config", "fill_mode", "fill_value", "value_range", "batch_size", "input_tensor"),
    *("bias_initializer", "kernel_initializer", "depthwise_initializer", "pointwise_initializer", "alpha_initializer"),
    *("beta_initializer", "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer"),
    *("bias_regularizer", "kernel_regularizer", "depthwise_regularizer", "pointwise_regularizer", "alpha_regularizer"),
    *("beta_regularizer", "gamma_regularizer", "activity_regularizer", "bias_constraint", "kernel_constraint"),
    *("depthwise_constraint", "pointwise_constraint", "alpha_constraint", "beta_constraint", "gamma_constraint"),
}
"""Options of layers that matter only while a network learns, or that are checked apart."""

OF_KERAS_2: dict[tuple[str, str], tuple[str, object]] = {
    ("LeakyReLU", "alpha"): ("negative_slope", None),
    ("DepthwiseConv2D", "groups"): ("", 1),
    ("DepthwiseConv2D", "filters"): ("", None),
    ("LayerNormalization", "rms_scaling"): ("", False),
    ("Softmax", "mask"): ("", None),
    ("BatchNormalization", "mode"): ("", 0),
}
"""Options that Keras 3 calls otherwise or lacks, with the only value that it may have then; None is any."""

OPERATIONS = {"GetItem", "Stack", "Add", "Subtract", "Multiply", "TrueDivide", "Divide", "Cast", "Concatenate"}
"""Calculations between layers, of `keras.ops`."""

FUNCTIONS = {
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.add": "Add",
    "nn.bias_add": "Add",
    "__operators__.add": "Add",
    "__operators__.getitem": "GetItem",
    "stack": "Stack",
    "concat": "Concatenate",
    "cast": "Cast",
}
"""What Keras 2 called them: TensorFlow's functions by name."""

ACTIVATIONS = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "swish", "sigmoid", "tanh", "softmax"),
    *("softplus", "hard_sigmoid", "hard_silu", "hard_swish"),
}

MODULES = (
    *("keras.layers", "keras.ops", "keras.models", "keras.engine", "keras.applications", "keras.activations"),
    *("keras.initializers", "keras.regularizers", "keras.constraints", "keras.src.layers", "keras.src.ops"),
    *("keras.src.models", "keras.src.engine", "keras.src.applications", "keras.src.activations", "keras.src.initializers"),
    *("keras.src.regularizers", "keras.src.constraints", "keras.src.dtype_policies", "keras.dtype_policies"),
    *("keras.src.backend", "keras.mixed_precision", "keras.src.mixed_precision"),
)
"""Where Keras keeps what a network is made of; nothing that opens a file or calls a function is among it."""
