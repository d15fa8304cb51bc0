"""The shapes of what GET /models answers."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.inference.networks.engines.network import Network
from app.schemas.shared import model_answer


class WindowAnswer(BaseModel):
    """What the units of a stage see: unit (r, c) sees `size` cells from `offset` + (r, c) x `step`, each [rows, columns].

    Cells beyond the picture are padding.
    """

    size: tuple[int, int] = Field(examples=[[3, 3]])
    step: tuple[int, int] = Field(examples=[[2, 2]])
    offset: tuple[int, int] = Field(examples=[[-1, -1]])


class StageAnswer(BaseModel):
    """One stage of a network."""

    name: str
    kind: str
    shape: list[int]
    inputs: list[str] = Field(description="The stages it computes from, or `image`")
    parameters: int = Field(description="Number of trained weights and biases")
    kernel: list[int] | None = Field(None, description="[height, width] of the filter or window")
    stride: list[int] | None = None
    padding: str | None = None
    activation: str | None = Field(None, description="What a convolution applies to its sums; `relu6` clips to 0..6")
    operation: str | None = Field(
        None,
        description="Of a pooling: `max`, `average` or `log_mean_exp`; of an activation: its function",
    )
    slope: float | None = Field(None, description="A leaky ReLU's factor below zero")
    zeros: list[int] | None = Field(None, description="[rows, columns] of zeros that a padding puts before the picture")
    cut: list[int] | None = Field(None, description="[rows, columns] that a cropping takes away before the picture")
    epsilon: float | None = Field(None, description="What a normalization adds to the variance")
    window: WindowAnswer = Field(description="What its units see of the first of its inputs")
    receptive_field: WindowAnswer = Field(description="What its units see of the network's input picture")


class NetworkAnswer(BaseModel):
    """One network in the list."""

    network: str
    version: str
    sha256: str
    versions: list[str] = Field(description="All that are served, the default first", examples=[["1.0.0"]])
    classes: list[str]
    input_shape: list[int]
    parameters: int
    unsure: list[float] = Field(
        description="[low, high]: probabilities of cat (of the likeliest class, of more than two) answered `unsure`"
    )
    accuracy: dict[str, float] = Field(description="Measured accuracy by set of photos, from metrics.json")
    guises: dict[str, float] = Field(description="Measured accuracy by guise, of all those photos in that guise")
    kept_epochs: int | None = Field(
        description="The last epoch of its training for which `epoch` may ask; null if it was kept after none"
    )
    photos: int = Field(description="How many photos all sets have together, 0 if none was measured")
    precisions: dict[str, str] = Field(
        description="What can answer for it, with the SHA-256 of the file: float32 and, if it has a twin in integers, int8"
    )
    precision: Literal["float32", "int8"] = Field(
        description="What answers where nothing inside the network is asked for, and no `precision` is named"
    )
    taught: bool = Field(description="Whether it was taught here, with POST /teach; such a network can be deleted")


class KeptPhotos(BaseModel):
    """What the service keeps of photos that it is sent."""

    photos: Literal["nothing", "corrections", "unsure"] = Field(
        description="`corrections`: those that somebody corrects; `unsure`: those whose verdict is unsure, too"
    )
    days: int = Field(description="After which they are deleted; 0: never")


class Networks(BaseModel):
    """What is served."""

    default: str = Field(description="The network that answers when a request names none")
    networks: list[NetworkAnswer]
    kept: KeptPhotos


class MeasuredAnswer(BaseModel):
    """How often a network was right, and how that is known."""

    how: Literal["test", "validation"] = Field(
        description="test: photos that training.evaluate measured; validation: photos that training chose its settings by"
    )
    photos_of: str = Field(description="The name of the set, or how validation photos were set aside", examples=["mine"])
    photos: int
    accuracy: float
    low: float = Field(description="Lower end of the 95 % interval")
    high: float


class EpochAnswer(BaseModel):
    """How good a network was after one epoch of its training."""

    epoch: int = Field(description="0 is the random start, before any training")
    loss: float = Field(description="Cross-entropy on validation photos", examples=[0.503622])
    accuracy: float = Field(description="Share of validation photos answered right", examples=[0.764196])
    training_loss: float | None = Field(
        description="Mean loss while it learned, with smoothed labels and changed photos; null before the first epoch"
    )
    learning_rate: float | None = Field(description="That of the epoch's first batch; null before the first epoch")


class Epochs(BaseModel):
    """How a network learned."""

    network: str
    version: str
    shipped: int = Field(description="The epoch after which the network is served", examples=[20])
    epochs: list[EpochAnswer]


def epochs(network: Network) -> dict[str, Any]:
    """The epochs of a network in the shape of `Epochs`."""
    contract = network.contract
    return {
        "network": contract.network,
        "version": contract.version,
        "shipped": contract.shipped_epoch,
        "epochs": [asdict(epoch) for epoch in contract.epochs],
    }


class NetworkDetail(NetworkAnswer):
    """Everything about one network."""

    measured: list[MeasuredAnswer] = Field(
        description="Its accuracy on each set of photos, people's own included; without any, that on its validation photos"
    )
    stages: list[StageAnswer]
    inner: list[StageAnswer] = Field(
        description="The layers inside stages that consist of several; name them in `stages` of /predict to see them"
    )
    metrics: dict[str, Any] | None = Field(description="metrics.json as training.evaluate wrote it, null if it did not")
    history: dict[str, Any] | None = Field(description="history.json as training.train wrote it, null if it did not")


def measured(network: Network, metrics: dict[str, Any] | None, history: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The figures of metrics.json in the shape of `MeasuredAnswer`, or those of history.json if there are none.

    Figures of another export, which metrics.json names by its SHA-256, are not this network's.
    """
    sets = (metrics or {}).get("sets", {})
    if metrics and sets and metrics.get("sha256") == network.contract.files["model.onnx"]:
        return [
            {"how": "test", "photos_of": name, "photos": figures["photos"]} | _interval(figures["accuracy"])
            for name, figures in sets.items()
        ]
    known = (history or {}).get("validation")
    if not known:  # trained before training kept it
        return []
    figure = {"accuracy": known["accuracy"], "low": known["low"], "high": known["high"]}
    return [{"how": "validation", "photos_of": known.get("how", "validation split"), "photos": known["photos"]} | figure]


def _interval(figure: dict[str, float]) -> dict[str, float]:
    return {"accuracy": figure["value"], "low": figure["low"], "high": figure["high"]}


def network_answer(network: Network, versions: list[str], metrics: dict[str, Any] | None, taught: bool) -> dict[str, Any]:
    """A network in the shape of `NetworkAnswer`; `versions` are all of its name; `taught` whether it was, here."""
    contract = network.contract
    sets = (metrics or {}).get("sets", {})
    pooled = sets.get("pooled", {})
    twin = network.integers
    return model_answer(network) | {
        "precisions": {"float32": network.sha256} | ({} if twin is None else {"int8": twin.sha256}),
        "precision": "int8" if twin is not None and twin.preferred else "float32",
        "versions": versions,
        "classes": contract.classes,
        "parameters": contract.parameters,
        "unsure": contract.unsure,
        "accuracy": {name: figures["accuracy"]["value"] for name, figures in sets.items()},
        "guises": {name: figure["value"] for name, figure in pooled.get("guises", {}).items()},
        "kept_epochs": contract.last_epoch,
        "photos": pooled.get("photos", 0),
        "taught": taught,
    }
