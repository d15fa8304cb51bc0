"""The shipped networks, and photos to try them on."""

from pathlib import Path

MODEL = Path(__file__).parent.parent.parent / "model"


NETWORKS = ("cat", "dense", "tutorial")


PHOTOS = ("chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
