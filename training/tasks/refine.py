"""Version 1.0.0 of `cat` comes in, version 2.0.0 goes out; `training.refine` says how."""

import argparse
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import softmax

from app.teach import calibrate
from app.teach.figures import share
from training.config import CLASSES, Recipe, Refinement
from training.data import manifest
from training.data.dataset import Split
from training.data.manifest import Photo, is_held_out
from training.errors import TrainingError
from training.fitting import checkpoint
from training.fitting.bank import Bank, Composer, View, fill
from training.fitting.bank_views import Blocks, Heads, log_odds
from training.fitting.checkpoint import Checkpoints
from training.fitting.devices import Devices
from training.fitting.fit import UNDECAYED, averaged, blend, compile_for, deterministic, fit, predict_scores
from training.fitting.fold import fold
from training.fitting.frozen import trainable_part
from training.fitting.views import Views
from training.measuring import learning_curves
from training.networks import cat, pretrained

SIDE = 384
EARLY = "block11"
PHASES = ("alone", "together")

SCENERY = ("rooms", "scenes", "flickr8k", "camvid", "barnyard10")
RABBITS = ("rabbit", "bunny", "lepus-americanus")
FELIDS = ("felids10", "bigcat5")
MISTAKEN = ("panthera", "puma", "acinonyx", "cryptoprocta", "martes", "sciurus", "rattus", "vulpes", "procyon", "lemur")
"""What is rare among the photos and often called a cat: sources, kinds, and beginnings of kinds."""

RIVALS = (
    *((331,), (330,), (332,), (286,), (287,), (288,), (289,), (290,), (291,), (292,), (293,), (278,), (277, 279, 280)),
    *((356, 357, 358, 359), (335, 336), (338, 333), (151, 173, 185, 245, 263), (207, 208, 235, 239), (269, 270, 271, 272)),
    *((340, 345, 348, 349), (14, 15, 18, 94), (361, 362, 387, 388), (296, 294)),
)
"""ImageNet's classes that the first rivals start from: hares, rabbits, wild cats, foxes, weasels, squirrels, dogs, ..."""


def refine(recipe: Refinement, paths: argparse.Namespace) -> None:
    """Train version 2.0.0 and write model.keras and history.json to `paths.out`."""
    deterministic(recipe.together.seed)
    photos = manifest.read(paths.manifests, paths.photos, manifest.REFINED)
    if unknown := set(recipe.held_out) - {photo.source for photo in photos}:
        raise TrainingError(f"the manifests have no source {', '.join(sorted(unknown))} to hold out")
    scenery = np.array([index for index, photo in enumerate(photos) if photo.source in SCENERY])
    composer = Composer(photos, recipe.composition, scenery, recipe.together.seed)
    network = start(paths.start / "model.keras", recipe)
    bank = fill(paths.work / "features", chosen_views(photos, recipe), composer, network, (EARLY, "head", "likeness"))
    teachable, held_out = rows(bank, photos, network, recipe)
    print(f"{len(bank.views)} views, of which {len(teachable)} teach and {len(held_out)} are held out", flush=True)

    judge = keras.Model(network.get_layer("head").output, network.get_layer("scores").output)
    for layer in judge.layers:
        layer.trainable = layer.name in ("rivals_scores", "doubt")
    rabbits = np.array([photos[view.photo].kind in RABBITS for view in bank.views]) & (bank.labels == 1)
    counts = np.where(rabbits, recipe.rabbit, 1.0)
    alone = Heads(bank, recipe, counts, network)
    first = phase(judge, recipe.alone, alone, bank, teachable, held_out, paths.work / "alone")
    with averaged(first):
        copy_weights(first, network)
    for layer in network.layers:
        layer.trainable = True

    together = Blocks(bank, recipe, counts, network)
    tail = trainable_part(network, EARLY)
    before = tail.get_weights()  # training changes them in place
    second = phase(tail, recipe.together, together, bank, together.hard(teachable), held_out, paths.work / "together")
    with averaged(second):
        blend(second, before, recipe.together.blend)
        copy_weights(second, network)
    sources = [photos[bank.views[row].photo].source for row in held_out]
    save(network, together, Split(held_out, bank.labels[held_out], []), sources, recipe, paths)


def start(file: Path, recipe: Refinement) -> keras.Model:
    """The new network in training form with the weights of the old, and rivals that start from ImageNet's classes.

    `file` is version 1.0.0, or a network that was refined before, whose rivals are not taken over.
    """
    old = keras.saving.load_model(file, compile=False)
    network = cat.build(training=True, side=SIDE, rivals=recipe.rivals)
    judged = "likeness" if any(layer.name == "likeness" for layer in old.layers) else "evidence"
    for layer in network.layers:
        name = judged if layer.name == "likeness" else layer.name
        if layer.get_weights() and name not in ("rivals_scores", "doubt"):
            layer.set_weights(old.get_layer(name).get_weights())
    random = np.random.default_rng(recipe.alone.seed)
    kernel = random.normal(0, 0.01, (cat.HEAD, recipe.rivals))
    classifier = pretrained.read(pretrained.weights_file())["_fc.weight"].astype(np.float64)
    for rival, classes in enumerate(RIVALS[: recipe.rivals]):
        kernel[:, rival] += pretrained.SHARPNESS * (classifier[list(classes)].mean(axis=0) - classifier.mean(axis=0))
    network.get_layer("rivals_scores").set_weights([kernel[None, None], np.full(recipe.rivals, -3.0)])
    network.get_layer("doubt").set_weights([np.full((1, 1, recipe.rivals, 1), -np.log(2)), np.zeros(1)])
    return network


def chosen_views(photos: list[Photo], recipe: Refinement) -> list[View]:
    """Every photo of train2 as it is and in scenes, the rare in more of them, and some of train's in one."""
    random = np.random.default_rng(recipe.together.seed)
    views = []
    for index, photo in enumerate(photos):
        if photo.path.parent.parent.name == "train":
            views += [View(index, 1)] * (random.random() < recipe.old)
        else:
            views += [View(index, turn) for turn in range(1 + scenes_of(photo))]
    return views


def scenes_of(photo: Photo) -> int:
    """How many scenes are composed from a photo."""
    if photo.kind in RABBITS:
        return 11
    if photo.kind.startswith(MISTAKEN):
        return 6
    return 3 if photo.source in FELIDS else 2 if photo.kind == "fox" else 1


def rows(bank: Bank, photos: list[Photo], network: keras.Model, recipe: Refinement) -> tuple[np.ndarray, np.ndarray]:
    """Which views teach: those without a held-out source, whose cat can be seen. And the held-out photos as they are."""
    odds = log_odds(network, bank.likeness)
    teachable, held_out = [], []
    for row, view in enumerate(bank.views):
        shown = [view.photo] + [int(other) for other in bank.partners[row : row + 1] if other >= 0]
        unseen = bank.labels[row] == 0 and odds[row] < (recipe.unseen if view.turn else recipe.hidden)
        if any(is_held_out(index, photos[index], recipe) for index in shown):
            held_out += [row] * (not view.turn)
        elif not unseen:
            teachable.append(row)
    return np.array(teachable), np.array(held_out)


def phase(
    network: keras.Model, recipe: Recipe, views: Views, bank: Bank, teach: np.ndarray, held_out: np.ndarray, work: Path
) -> keras.Model:
    """Train on the rows `teach` with a checkpoint after each epoch in `work`; a phase that is complete is only loaded."""
    checkpoints, devices = Checkpoints(work), Devices()
    splits = {name: Split(rows, bank.labels[rows], []) for name, rows in (("train", teach), ("validation", held_out))}
    state = checkpoints.begin(recipe, hashlib.sha256(teach.tobytes()).hexdigest(), resume=True)
    if state.epochs:
        network = checkpoints.resume(state)
        network.optimizer.exclude_from_weight_decay(var_names=UNDECAYED)
    else:
        compile_for(network, recipe, -(-len(teach) // recipe.batch_size))
    fit(network, recipe, devices, views, splits, state, checkpoints, lambda record: None)
    return checkpoints.load(state.shipped)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights of all layers of `source`."""
    for layer in source.layers:
        if layer.get_weights():
            target.get_layer(layer.name).set_weights(layer.get_weights())


def save(
    network: keras.Model,
    views: Blocks,
    held_out: Split,
    sources: list[str],
    recipe: Refinement,
    paths: argparse.Namespace,
) -> None:
    """Calibrate on the held-out sources' photos; write model.keras and history.json; remove the checkpoints."""
    scores = predict_scores(trainable_part(network, EARLY), views.photos(held_out)[0])
    temperature = calibrate.temperature(scores, held_out.labels)
    probabilities = softmax(scores / temperature, axis=1)[:, 0]
    band = calibrate.unsure_band(probabilities, held_out.labels == 0, recipe.together.decided, recipe.together.most_unsure)
    shipped = fold(network, temperature, plain=cat.build(side=SIDE, rivals=recipe.rivals))
    states = {name: json.loads((paths.work / name / "checkpoints" / "state.json").read_text()) for name in PHASES}
    records = [record | {"phase": name} for name in PHASES for record in states[name]["epochs"]]
    history: dict[str, Any] = {
        "network": recipe.together.network,
        "version": recipe.together.version,
        "classes": list(recipe.together.classes),
        "recipe": asdict(recipe),
        "held_out": by_source(scores, held_out.labels, sources),
        "machine": checkpoint.machine(),
        "seconds": round(sum(state["seconds"] for state in states.values()), 1),
        "best_epoch": len(records),
        "shipped_epoch": len(records),
        "calibration": {"temperature": round(temperature, 4), "count": len(scores), "band": asdict(band)},
        "epochs": [record | {"epoch": number} for number, record in enumerate(records, 1)],
    }
    checkpoint.ship(shipped, history, paths.out)
    learning_curves.draw(history, paths.out / "learning_curves.png")
    for name in PHASES:
        shutil.rmtree(paths.work / name)


def by_source(scores: np.ndarray, labels: np.ndarray, sources: list[str]) -> list[dict[str, Any]]:
    """Of each held-out source and class, how many photos there are and which share of them `scores` (n, 2) get right."""
    right = (scores[:, 0] > scores[:, 1]) == (labels == 0)
    groups = sorted(set(zip(sources, labels.tolist(), strict=True)))
    members = [(np.array(sources) == source) & (labels == label) for source, label in groups]
    shares = [share(int(right[member].sum()), int(member.sum())) for member in members]
    return [
        {"source": source, "class": CLASSES[label], "right": asdict(figure) if figure else None}
        for (source, label), figure in zip(groups, shares, strict=True)
    ]
