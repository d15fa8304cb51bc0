"""A compiled network and views of photos come in; the network goes out trained, with a checkpoint after every epoch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np
from scipy.special import log_softmax

from training.config import Recipe
from training.data.dataset import Split
from training.fitting.callbacks import Feeding, Patience, Record, Recording, Reporting, Saving
from training.fitting.checkpoint import Checkpoints, State
from training.fitting.devices import Devices
from training.fitting.feed import Feed
from training.fitting.kept import KeptEpochs
from training.fitting.views import Views
from training.progress import Progress

UNDECAYED = ["bias", "beta"]
"""Weights that weight decay leaves alone, by a part of their names."""


def deterministic(seed: int) -> None:
    """Same seed, same machine, same result: seed Keras, and restrict TensorFlow to deterministic operations."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def compile_for(network: keras.Model, recipe: Recipe, batches: int) -> None:
    """AdamW under a cosine that warms up first (Loshchilov and Hutter 2017 and 2019); `batches` an epoch."""
    steps = batches * recipe.epochs
    warm = int(steps * recipe.warmup)
    schedule = keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / 20, steps - warm, alpha=0.0, warmup_target=recipe.learning_rate, warmup_steps=warm
    )
    averaging = {"use_ema": True, "ema_momentum": recipe.average} if recipe.average else {}
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, **averaging)
    optimizer.exclude_from_weight_decay(var_names=UNDECAYED)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    if len(network.outputs) == 1:
        network.compile(optimizer, loss)
    else:
        network.compile(optimizer, [loss, keras.losses.MeanSquaredError()], loss_weights=[1.0, recipe.teach])


def fit(
    network: keras.Model,
    recipe: Recipe,
    devices: Devices,
    views: Views,
    splits: dict[str, Split],
    state: State,
    checkpoints: Checkpoints,
    log: Callable[[Record], None],
    kept: KeptEpochs | None = None,
) -> None:
    """Train until the recipe's last epoch or until patience ends, with one progress bar or a line an epoch.

    With `kept`, the weights at the start and after each epoch are kept there, and how good the start is, in the state.
    """
    done = len(state.epochs)
    if done - state.best >= recipe.patience or done == recipe.epochs:
        return  # it was killed after its last epoch
    inputs, labels = views.validation_tensors(splits["validation"])

    def validated() -> tuple[float, float]:
        with averaged(network):
            return validate(network, inputs, labels, devices)

    def keep(epoch: int) -> None:
        if kept:
            with averaged(network):
                kept.keep(network, epoch)

    if kept and not done:
        keep(0)
        loss, accuracy = validated()
        state.start = {"validation_loss": round(loss, 6), "validation_accuracy": round(accuracy, 6)}
    feed = Feed(views, splits["train"], recipe.batch_size, done + 1, devices.replicas)
    total, initial = recipe.epochs * len(feed), done * len(feed)
    with Progress(total, "", "batch", initial, lines=False) as shown:
        callbacks = [
            Feeding(feed),
            Recording(state, validated),
            Patience(state, recipe.patience),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: keep(epoch + 1)),
            Saving(state, checkpoints),
            Reporting(shown, state, log),
        ]
        try:
            network.fit(feed, epochs=recipe.epochs, initial_epoch=done, callbacks=callbacks, shuffle=False, verbose=0)
        finally:
            feed.close()
        if network.stop_training:
            shown.say(f"stopped early: no better validation loss for {recipe.patience} epochs", sys.stdout)


@contextmanager
def averaged(network: keras.Model) -> Iterator[None]:
    """Within it, a network whose optimizer keeps a running average of its weights has that average as its weights.

    Keras' SwapEMAWeights swaps them by adding and subtracting, which does not give the same weights back, to the last bit.
    """
    if not network.optimizer.use_ema:
        yield
        return
    trained = [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in network.trainable_variables]
    network.optimizer.finalize_variable_values(network.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(network.trainable_variables, trained, strict=True):
            variable.assign(value)


def validate(network: keras.Model, inputs: np.ndarray, labels: np.ndarray, devices: Devices) -> tuple[float, float]:
    """Log loss and accuracy."""
    scores = predict_scores(network, inputs, devices)
    log_probabilities = log_softmax(scores, axis=1)[np.arange(len(scores)), labels]
    return float(-log_probabilities.mean()), float((scores.argmax(axis=1) == labels).mean())


def predict_scores(
    network: keras.Model, inputs: np.ndarray, devices: Devices | None = None, batch_size: int = 128
) -> np.ndarray:
    """What the network's first output is for photos, or for what its frozen layers made of them, (n, classes) float64."""
    devices, scores = devices or Devices(), []
    for start in range(0, len(inputs), batch_size):
        answers = devices.answer(network, inputs[start : start + batch_size].astype(np.float32))
        scores.append(np.asarray(answers[0] if isinstance(answers, list | tuple) else answers))
    return np.concatenate(scores).astype(np.float64)


def blend(trained: keras.Model, before: list[np.ndarray], share: float) -> None:
    """Move the weights of `trained` towards those of `before`, which keep the share `1 - share`.

    Networks between a fine-tuned one and the one it started from are good at what either is good at (Wortsman et al.
    2022, "Robust fine-tuning of zero-shot models").
    """
    pairs = zip(trained.get_weights(), before, strict=True)
    trained.set_weights([share * after + (1 - share) * start for after, start in pairs])
