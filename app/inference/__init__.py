"""From a photo's bytes to an answer, without any HTTP. Start reading at `predict`."""
