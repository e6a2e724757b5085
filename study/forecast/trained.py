"""Small JEPA and MAE networks, trained on the pairs themselves: the measurement beside the forecast."""

from typing import Literal, get_args

import torch

from datamodules import SourcePairs
from datamodules.progress import shown
from models import MLP
from study.forecast.probe import Probed, ProbeForecast
from study.forecast.timed import Training
from study.theory.flow import Objective

Network = Literal["linear", "relu"]
HIDDEN, SCALE = 256, 0.6  # of the ReLU network and of each of its layers, as in `study run pixels`


def trained(
    data: SourcePairs, k: int, training: Training, probe: ProbeForecast, network: Network, objective: Objective
) -> Probed:
    """The probe, on all labels, of one network of k features after a training on real pairs, with the rate of the best validation probe.

    Args:
        data: pairs, after `setup`, of whose data set 0 training and probe are.
        k: features.
        training: as long, at the same rates, as the forecast beside it.
        probe: reads the features.
        network: the deep linear one of the forecast, or one of a ReLU layer.
        objective: jepa or mae.

    Raises:
        ArithmeticError: every rate diverges.
    """
    encoder = training.encoder(data.inputs, k)
    if network == "relu":
        encoder = MLP(data.inputs, [HIDDEN], k, "relu", SCALE**2, seeds=encoder.seeds)
    learner = training.learner(objective, encoder)
    pairs = (data.pairs(update, learner.device) for update in range(training.updates))
    learner.advance(
        shown(pairs, training.updates, f"training {network} {objective.upper()}"),
        learner.configure_optimizers(training.updates),
    )
    finite = learner.finite()
    if not bool(finite.any()):
        raise ArithmeticError(f"{network} {objective} diverges at every rate; give fewer --updates")
    features = {split: values.nan_to_num(0, 0, 0) for split, values in probe.sample.encoded(learner.encoder).items()}
    ridge = probe.sample.fit(features)
    best = int(torch.where(finite, ridge.validation, -1.0).argmax())
    right = ridge.correct(features["test"], probe.sample.labels["test"])[best]
    return Probed(objective, probe.all, float(ridge.validation[best]), right.float()[None])


def all_trained(
    data: SourcePairs, k: int, trainings: dict[Objective, Training], probe: ProbeForecast
) -> dict[Network, dict[Objective, Probed]]:
    """`trained` for every network and objective."""
    return {
        network: {name: trained(data, k, training, probe, network, name) for name, training in trainings.items()}
        for network in get_args(Network)
    }
