"""From a photo's bytes to an answer. Knows no HTTP; start reading at `predict`."""
