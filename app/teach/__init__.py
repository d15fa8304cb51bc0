"""Photos of anybody's classes come in; a network that tells them apart goes out, without TensorFlow."""
