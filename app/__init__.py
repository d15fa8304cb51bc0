"""The service: a photo comes in over HTTP, class probabilities and feature maps go out."""

__version__ = "0.1.0"
