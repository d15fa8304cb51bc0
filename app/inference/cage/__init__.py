"""Photos are decoded in child processes without rights, so that a bug in a parser costs one photo."""
