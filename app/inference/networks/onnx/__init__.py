"""The file model.onnx, read and changed without the onnx package."""
