"""Arguments such as val-pets=photos/val-pets come in; folders of photos by name go out."""

from pathlib import Path

from training.errors import TrainingError
from training.measuring.report import POOLED


def named_sets(texts: list[str]) -> dict[str, Path]:
    """Folders by name from texts such as val-pets=photos/val-pets. Raises TrainingError for a malformed text."""
    sets: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or name == POOLED:
            raise TrainingError(f"--set {text} must look like val-pets=photos/val-pets")
        if name in sets:
            raise TrainingError(f"--set {name} is given twice")
        sets[name] = Path(folder)
    return sets
