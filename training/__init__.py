"""From a folder of photos to a trained, measured and exported network under model/."""

import os

# TensorFlow reads this when it is first imported, and otherwise prints three lines about processor instructions.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
