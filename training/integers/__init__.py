"""A network's twin in 8-bit integers: what photos make of its activations, its graph in integers, whether it may speak."""
