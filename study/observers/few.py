"""A probe on few labels: what the features are worth where most images have none."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from datamodules import random
from study.observers.ridge import Ridge, fit

DRAWS = 5
LABELS = -1  # stands where the data's streams of random numbers have their seed


@dataclass(frozen=True)
class Few:
    """Accuracy of the probes fitted on a number of labels."""

    validation: Float[Tensor, "N"]  # mean over draws, like the next
    test: Float[Tensor, "N"]
    deviation: Float[Tensor, "N"]  # standard deviation of the test accuracy over draws


def draw(labels: Int[Tensor, "n"], number: int) -> Int[Tensor, "n"]:
    """Row numbers in random order number `number`, the same on every machine, in which the classes take turns: each prefix
    holds every class equally often, give or take one, until a class is used up."""
    shuffled = random.bits([random.key(LABELS, number)], len(labels), device=labels.device)[0].argsort()
    of = labels[shuffled]
    turns = torch.nn.functional.one_hot(of).cumsum(0).gather(1, of[:, None])[:, 0]
    return shuffled[turns.argsort(stable=True)]


def few(
    features: dict[str, Float[Tensor, "N _ k"]], labels: dict[str, Int[Tensor, "_"]], classes: int, numbers: Sequence[int]
) -> dict[int, Few]:
    """Each number of labels below that of all training labels -> the probe on the first so many of each draw, with the ridge
    strength that is best on the validation split for that draw."""
    found = {}
    for n in (n for n in numbers if n < len(labels["train"])):
        ridges = fitted(features, labels, classes, n)
        validation = torch.stack([ridge.validation for ridge in ridges])
        test = torch.stack([ridge.accuracy(features["test"], labels["test"]) for ridge in ridges])
        found[n] = Few(validation.mean(0), test.mean(0), test.std(0))
    return found


def fitted(
    features: dict[str, Float[Tensor, "N _ k"]], labels: dict[str, Int[Tensor, "_"]], classes: int, number: int
) -> list[Ridge]:
    """The probe on the first so many labels of each draw."""
    return [
        fit(features["train"][:, rows], labels["train"][rows], features["validation"], labels["validation"], classes)
        for rows in (draw(labels["train"], n)[:number] for n in range(DRAWS))
    ]
