"""Keras networks of other people: read, rewritten in plain layers, written as ONNX."""
