"""What can be done from a shell besides serving: classify photos, look at a network, complete command lines."""
