"""The features of a bank come in; batches to fine-tune on go out."""

from collections.abc import Iterator

import keras
import numpy as np
from scipy.special import logsumexp

from training.config import Recipe, Refinement
from training.data.dataset import Split
from training.fitting.bank import Bank
from training.fitting.views import Batch, Views, class_weights


def log_odds(network: keras.Model, maps: np.ndarray) -> np.ndarray:
    """(n, h, w, 1) scores of positions -> (n,) log odds of a cat, as the network's pooling and last layer compute them."""
    kernel, bias = network.get_layer("scores").get_weights()
    pooled = logsumexp(maps, axis=(1, 2, 3)) - np.log(maps[0].size)
    return np.asarray(pooled * (kernel[0, 0] - kernel[0, 1]) + bias[0] - bias[1])


class Blocks(Views):
    """The views of a bank as the blocks behind EARLY see them; a split's `pixels` are rows of the bank.

    Half of the batches are mirrored. The second target is the likeness that the first version saw. `counts` (n,) says how
    much each view counts, beside the balance of the classes.
    """

    def __init__(self, bank: Bank, recipe: Refinement, counts: np.ndarray, network: keras.Model) -> None:
        self.bank, self.recipe, self.counts = bank, recipe, counts
        odds = log_odds(network, bank.likeness)
        self.margins = np.where(bank.labels == 0, odds, -odds)

    def hard(self, rows: np.ndarray) -> np.ndarray:
        """These rows without most of those that the first version gets right easily."""
        random = np.random.default_rng(self.recipe.together.seed)
        hard: np.ndarray = self.margins[rows] < self.recipe.easy
        return rows[hard | (random.random(len(rows)) < self.recipe.easy_share)]

    def batches(self, split: Split, epoch: int) -> Iterator[Batch]:
        """See Views.batches."""
        recipe = self.recipe.together
        random = np.random.default_rng([recipe.seed, epoch])
        for taken, weights in self._portions(split, recipe, random):
            step = -1 if random.random() < 0.5 else 1
            early = np.ascontiguousarray(self.bank.early[taken].astype(np.float32)[:, :, ::step])
            likeness = np.ascontiguousarray(self.bank.likeness[taken][:, :, ::step])
            anchors = np.where(self.margins[taken] > self.recipe.sure, 1.0, 0.1).astype(np.float32)[:, None, None]
            yield Batch(early, [np.eye(2, dtype=np.float32)[self.bank.labels[taken]], likeness], [weights, anchors])

    def validation_tensors(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.validation_tensors."""
        return self.photos(split)

    def photos(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.photos."""
        early: np.ndarray = self.bank.early[split.pixels]
        return early, split.labels

    def _portions(
        self, split: Split, recipe: Recipe, random: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the bank and how much each counts, a batch at a time, ascending as they lie in the files."""
        balance = class_weights(split.labels) * np.array([1.0, recipe.not_cat], np.float32)
        order = random.permutation(split.pixels)
        for first in range(0, len(order), recipe.batch_size):
            taken = np.sort(order[first : first + recipe.batch_size])
            yield taken, (balance[self.bank.labels[taken]] * self.counts[taken]).astype(np.float32)


class Heads(Blocks):
    """The views of a bank as the layers behind `head` see them."""

    def batches(self, split: Split, epoch: int) -> Iterator[Batch]:
        """See Views.batches."""
        recipe = self.recipe.alone
        for taken, weights in self._portions(split, recipe, np.random.default_rng([recipe.seed, epoch])):
            yield Batch(self.bank.heads(taken), np.eye(2, dtype=np.float32)[self.bank.labels[taken]], weights)

    def photos(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """See Views.photos."""
        return self.bank.heads(split.pixels).astype(np.float16), split.labels
