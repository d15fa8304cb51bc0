"""Networks: contracts, versions, the engines that run them, and the ONNX file."""
