"""Learning curves of a training run, as a PNG and as TensorBoard logs."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tensorboard.summary import Writer


def draw(history: dict[str, Any], path: Path) -> None:
    """Draw loss and validation accuracy by epoch into a PNG, the shipped epoch marked."""
    epochs = history["epochs"]
    numbers = [record["epoch"] for record in epochs]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(numbers, [r["loss"] for r in epochs], label="training, on augmented photos", color="#b35900")
    left.plot(numbers, [r["validation_loss"] for r in epochs], label="validation", color="#00549f")
    left.set(xlabel="epoch", ylabel="log loss", title=f"{history['network']}: loss")
    left.legend()
    right.plot(numbers, [r["validation_accuracy"] for r in epochs], color="#00549f")
    right.set(xlabel="epoch", ylabel="accuracy", title="validation accuracy")
    for axes in (left, right):
        axes.axvline(history["shipped_epoch"], color="#888888", linewidth=1, linestyle=":")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def log(record: dict[str, float], folder: Path) -> None:
    """Append one epoch's record to the TensorBoard logs in `folder`."""
    writer = Writer(str(folder))
    for name, value in record.items():
        if name != "epoch":
            writer.add_scalar(name, value, int(record["epoch"]))
    writer.close()
