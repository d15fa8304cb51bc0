"""What happens between the batches and the epochs of `keras.Model.fit`, beside Keras' own callbacks.

Keras' BackupAndRestore, SwapEMAWeights and TensorBoard are not used; docs/design.md says why, with the tests that they fail.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import keras

from training.fitting.checkpoint import Checkpoints, State
from training.fitting.feed import Feed
from training.progress import Progress

Record = dict[str, float]
"""One epoch in history.json: epoch, loss, validation_loss, validation_accuracy, learning_rate (at its start), seconds."""


class Feeding(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Tell the feed which epoch is under way, and which batches are no longer needed."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keras counts epochs from 0."""
        self.feed.begin(epoch + 1)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Release the batch."""
        self.feed.learned(batch)


class Recording(keras.callbacks.Callback):  # type: ignore[misc]
    """Validate after each epoch and append its record to the state; callbacks behind this one see its values in `logs`.

    `validate` returns the log loss and the accuracy on the validation photos. Keras' own validation would report the loss
    that is trained on, with smoothed labels and with the evidence of the teachers.
    """

    def __init__(self, state: State, validate: Callable[[], tuple[float, float]]) -> None:
        super().__init__()
        self.state, self.validate = state, validate

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock, and note the learning rate."""
        self._rate = float(self.model.optimizer.learning_rate)
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Record) -> None:
        """Stop it after validating."""
        loss, accuracy = self.validate()
        seconds = time.perf_counter() - self._started
        record = {
            "epoch": epoch + 1,
            "loss": round(logs["loss"], 6),
            "validation_loss": round(loss, 6),
            "validation_accuracy": round(accuracy, 6),
            "learning_rate": float(f"{self._rate:.4g}"),
            "seconds": round(seconds, 1),
        }
        self.state.seconds += seconds
        self.state.epochs.append(record)
        logs.update(record)


class Saving(keras.callbacks.Callback):  # type: ignore[misc]
    """Write a checkpoint after each epoch, the state of the dropout layers' random numbers included."""

    def __init__(self, state: State, checkpoints: Checkpoints) -> None:
        super().__init__()
        self.state, self.checkpoints = state, checkpoints

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save network, optimizer and state."""
        self.checkpoints.save(self.model, self.state)


class Patience(keras.callbacks.EarlyStopping):  # type: ignore[misc]
    """Keras' EarlyStopping, which counts the epochs before an interruption too."""

    def __init__(self, state: State, patience: int) -> None:
        super().__init__(monitor="validation_loss", mode="min", patience=patience)
        self.state = state

    def on_train_begin(self, logs: Any = None) -> None:
        """Go through the epochs that are there already."""
        super().on_train_begin(logs)
        for record in self.state.epochs:
            self.on_epoch_end(int(record["epoch"]) - 1, record)


class Reporting(keras.callbacks.Callback):  # type: ignore[misc]
    """Move the run's one progress bar, and print and log each epoch's record."""

    def __init__(self, progress: Progress, state: State, log: Callable[[Record], None]) -> None:
        super().__init__()
        self.progress, self.state, self.log = progress, state, log

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        self._title = f"epoch {epoch + 1}/{self.params['epochs']}"

    def on_train_batch_end(self, batch: int, logs: Record) -> None:
        """Show the mean loss of the epoch so far."""
        self.progress.title(f"{self._title} loss {logs['loss']:.4f}")
        self.progress.reach(self.progress.done + 1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log the record, then print it."""
        record = self.state.epochs[-1]
        self.log(record)
        self.progress.say(" ".join(f"{name} {value}" for name, value in record.items()), sys.stdout)
