"""Arrays as pictures: colour scales, PNG files, sheets of channels, kernels."""
