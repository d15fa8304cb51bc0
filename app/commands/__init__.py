"""The commands: serve, classify photos, inspect a network, print a shell completion script."""
