"""From a folder of photos to a trained, measured and exported network under model/."""
