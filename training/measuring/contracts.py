"""Folders of exported networks come in; their contracts go out."""

from pathlib import Path

from app.errors import CatscopeError
from app.inference.networks import contract
from app.inference.networks.contract import Contract
from training.errors import TrainingError


def load(folders: list[Path]) -> list[Contract]:
    """The contracts of networks that can be measured together.

    Raises TrainingError for a folder that holds no exported network, and for networks of different classes.
    """
    try:
        contracts = [contract.load(folder) for folder in folders]
    except CatscopeError as error:
        raise TrainingError(str(error)) from error
    if len({one.classes for one in contracts}) > 1:
        texts = "; ".join(f"{one.folder} has {', '.join(one.classes)}" for one in contracts)
        raise TrainingError(f"networks that are measured together must have the same classes: {texts}")
    return contracts
