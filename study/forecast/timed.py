"""What a training of so many updates reaches: deep linear networks on exact moments or on minibatches of Gaussian pairs that have them,
by the optimiser itself, without a sample.

The end state is the limit of long training, and directions whose rho hardly differ take far longer to tell apart than anybody trains
(theory, section 7). Shapes: R rates, d inputs, k features, d' dimensions of the subspace.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice, repeat

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules import Moments, Pair
from models import MLP, Learner, Pixels, StopGradient
from models.predictor import Matrix
from study.forecast.end_state import EndState, root
from study.forecast.minibatches import Minibatches
from study.forecast.probe import Probed, ProbeForecast
from study.observers.leading import leading
from study.observers.maps import overlap, whitened
from study.theory.flow import Objective, fixed_point

SHARES = (0.1, 0.3, 1.0, 3.0)  # of the rate at which a step is as long as the curvature is wide
LARGEST = 1024  # inputs beyond which networks are trained in a subspace


@dataclass(frozen=True)
class Training:
    """How deep linear networks are trained: by default as `study run pixels` trains its linear encoder.

    Args:
        depth: layers L of the encoder, as wide as there are features.
        eps: scale of their product at the start.
        momentum: of SGD.
        rates: learning rates, of which the one with the best validation probe is taken; the largest that does not diverge, where there
            are no labels. See `suited`.
        updates: length.
        batch: pairs of an update, or none for exact moments. Fluctuations of minibatches limit the rates, and hold noise in the features.
        seed: of the initial weights and the pairs.
    """

    depth: int = 3
    eps: float = 0.6**3
    momentum: float = 0.9
    rates: tuple[float, ...] = (3e-5, 1e-4, 3e-4, 6e-4)
    updates: int = 1200
    batch: int | None = 128
    seed: int = 0

    def encoder(self, inputs: int, k: int) -> MLP:
        """One deep linear network for each rate, with the same initial weights."""
        return MLP(inputs, [k] * (self.depth - 1), k, eps=self.eps, seeds=[self.seed] * len(self.rates))

    def learner(self, objective: Objective, encoder: MLP) -> Learner:
        """What trains these networks, each at its rate."""
        target = StopGradient() if objective == "jepa" else Pixels()
        return Learner(encoder, target, lr=list(self.rates), momentum=self.momentum)

    def points(self, halvings: int = 8) -> list[int]:
        """Updates at which to look, in geometric progression from 1 / 2^halvings of the length to its end, after 0."""
        return sorted({0, *(max(1, round(self.updates / 2**i)) for i in range(halvings + 1))})


@dataclass(frozen=True)
class Point:
    """One objective after so many updates, at the rate that is taken."""

    update: int
    encoder: Float[Tensor, "k d"]
    reached: float  # share of the end state's span that its features hold, in the metric Sxx
    share: float | None  # of the distractor, where its directions are known
    probes: list[Probed]  # at each number of labels


@dataclass(frozen=True)
class Curve:
    """The forecast of one objective over updates."""

    objective: Objective
    rate: float
    points: list[Point]

    @property
    def last(self) -> Point:
        """At the end of the training."""
        return self.points[-1]


def forecast(
    objective: Objective,
    moments: Moments,
    end: EndState,
    training: Training = Training(),
    probe: ProbeForecast | None = None,
    of_distractor: Callable[[Float[Tensor, "k d"]], float] | None = None,
    at: Sequence[int] | None = None,
    labels: Sequence[int] | None = None,
) -> Curve:
    """The curve of one objective with as many features as its end state has.

    Args:
        moments: of the pairs that it would be trained on.
        end: to which its features are compared.
        training: how.
        probe: reads the features where there are labels.
        of_distractor: the share of an encoder's features that a distractor has, where its directions are known.
        at: updates at which to look, rising and up to the training's; by default `Training.points`.
        labels: numbers of labels to probe on, by default all that `probe` has.

    Raises:
        ArithmeticError: every rate diverges.
    """
    k, d = end.encoder.shape
    learner = training.learner(objective, training.encoder(d, k))
    looks = list(trajectory(learner, moments, training.points() if at is None else at, training.batch, training.seed))
    finite = learner.finite()
    if not bool(finite.any()):
        raise ArithmeticError(
            f"{objective} diverges at every rate of {', '.join(f'{r:g}' for r in training.rates)}; give lower ones"
        )
    score = torch.tensor(training.rates) if probe is None else probe.validation(looks[-1][1].nan_to_num(0, 0, 0))
    best = int(torch.where(finite, score.to(torch.float64), -1.0).argmax())
    metric = (moments.Sxx @ root(moments.Sxx))[None]
    wanted = whitened(end.encoder.mT[None], metric)
    points = []
    for update, encoders in looks:
        W = encoders[best]
        reached = float(overlap(whitened(W.mT[None], metric).mT, wanted)[0])
        distractor = None if of_distractor is None else of_distractor(W)
        points.append(Point(update, W, reached, distractor, [] if probe is None else probe.of({objective: W}, labels)))
    return Curve(objective, training.rates[best], points)


def suited(objective: Objective, moments: Moments, end: EndState, training: Training) -> Training:
    """The same training at rates that these moments stand, or nearly: a batch of B samples has a curvature of some
    lam_max(Sxx) + tr(Sxx) / B, which weights of a gain above 1 multiply by its square (theory, section 7), and momentum m
    multiplies the rate by 1 / (1 - m)."""
    curvature = float(torch.linalg.matrix_norm(moments.Sxx, 2)) + float(moments.Sxx.trace()) / (training.batch or math.inf)
    highest = max(1.0, float(end.features.rho.max()))
    curvature *= float(fixed_point(objective, highest, training.depth)) ** 2
    return replace(training, rates=tuple((1 - training.momentum) * share / curvature for share in SHARES))


def trajectory(
    learner: Learner, moments: Moments, at: Sequence[int], batch: int | None = None, seed: int = 0
) -> Iterator[tuple[int, Float[Tensor, "R k d"]]]:
    """The matrices of a stack of deep linear encoders after each of these numbers of updates, which rise from 0 on; its weights are
    moved. On the moments, or on a batch of so many Gaussian pairs that have them.

    Of more than LARGEST inputs only those dimensions are trained in which x varies most and those of the initial weights: exact as far
    as the moments do not couple them to the others, in which weights stay what they were, which is nothing.

    Raises:
        ValueError: the learner cannot be trained on exact moments.
    """
    encoder, basis = learner.encoder, None
    assert isinstance(encoder, MLP)
    if encoder.inputs > LARGEST:
        basis = subspace(moments, encoder)
        Sxx, Syx, Syy = (basis.mT @ S @ basis for S in (moments.Sxx, moments.Syx, moments.Syy))
        moments = Moments(Sxx, Syx, Syy, moments.count)
        project(learner, basis)
    data: Iterator[Pair | dict[str, Tensor]]
    if batch is None:
        data = repeat({name: getattr(moments, name)[None].to(encoder.dtype) for name in ("Sxx", "Syx", "Syy")})
    else:
        data = map(Minibatches(moments, batch, seed, encoder.dtype).pairs, count())
    optimizer = learner.configure_optimizers(max(1, *at))
    done = 0
    for update in at:
        if update > done:
            learner.advance(islice(data, update - done), optimizer)
            done = update
        W = encoder.layers[0].detach().double()
        for layer in encoder.layers[1:]:
            W = layer.detach().double() @ W
        yield update, W if basis is None else W @ basis.mT


def subspace(moments: Moments, encoder: MLP) -> Float[Tensor, "d d'"]:
    """An orthonormal basis of the directions of highest variance and of the first layers' rows, LARGEST together."""
    rows = encoder.layers[0].detach().double()
    first = rows.flatten(0, 1).unique(dim=0)  # networks of one seed share them
    most = LARGEST - len(first)
    assert most > 0, "as many rows as dimensions"
    return torch.linalg.qr(torch.cat([leading(moments.Sxx, most)[1], first.mT], 1))[0]


def project(learner: Learner, basis: Float[Tensor, "d d'"]) -> None:
    """Give the first layer, and the head where it predicts inputs, these coordinates."""
    encoder, head = learner.encoder, learner.predictor
    assert isinstance(encoder, MLP)
    assert isinstance(head, Matrix)
    P = basis.to(encoder.dtype)
    encoder.layers[0] = torch.nn.Parameter(encoder.layers[0].detach() @ P)
    encoder.sizes[0] = encoder.inputs = P.shape[1]
    if not learner.objective.latent:
        head.weight = torch.nn.Parameter(P.mT @ head.weight.detach())
