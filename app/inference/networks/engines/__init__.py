"""What runs a network: ONNX Runtime in float, its twin in integers, and Keras."""
