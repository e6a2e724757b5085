"""The objects of an integration's configuration: pairs, a learner, and the gradient flow that they make.

Classes are made by their import path without the parser of `study fit`: the lists of a stack of networks, which that checks number
by number, take it seconds, and there are thousands of integrations.
"""

import inspect
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.pairs import LinearPairs
from models import EMA, MLP, Learner, Matrix, Objective, Pixels, StopGradient, initialisation
from models.gradient_flow import GradientFlow, square
from models.per_network import per_network
from study import outside
from study.running.options import check_sizes, short

T = TypeVar("T")
# Options of classes that a flow, which has no updates, has no use for.
UPDATES = {"decay", "last", "over", "updates", "chunk", "batch"}


def named(part: str, given: Any, base: type[T]) -> "partial[T]":
    """Makes the object of a class_path and init_args when it is called; its `keywords` are the class's defaults and what was given.

    Raises:
        ValueError: there is no such class, it is not derived from `base`, or has no such options; names the part.
    """
    if not (isinstance(given, dict) and isinstance(name := given.get("class_path"), str)):
        raise ValueError(f"{part}: expected class_path and init_args, found {short(given)}")
    options = given.get("init_args", {})
    kind = outside.resolve(name)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise ValueError(f"{part}: expected {base.__name__} or a class derived from it, found {name}")
    if useless := UPDATES & options.keys():
        raise ValueError(f"{part}: a gradient flow has no updates, and so no {', '.join(sorted(useless))}; leave them out")
    signature = inspect.signature(kind)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise ValueError(f"{part}: {name} has other options: {error}") from error
    defaults = {p.name: p.default for p in signature.parameters.values() if p.default is not p.empty}
    return partial(kind, **{**defaults, **options})


def encoder_of(model: dict[str, Any]) -> "partial[MLP]":
    return named("model.encoder", model["encoder"], MLP)


def data_of(config: dict[str, Any]) -> LinearPairs:
    """The data of a configuration, whose features are known.

    Raises:
        ValueError: it names none.
    """
    return named("data", config["data"], LinearPairs)()


def learner_of(model: dict[str, Any]) -> Learner:
    """The learner of a configuration.

    Raises:
        ValueError: it is none whose gradient flow is known.
    """
    encoder = encoder_of(model)()
    objective = named("model.objective", model["objective"], Objective)()
    if not (type(encoder) is MLP and encoder.linear and type(objective) in (StopGradient, EMA, Pixels) and objective.exact):
        raise ValueError(
            "a gradient flow is that of a linear MLP with StopGradient, EMA or Pixels and the plain squared distance, which "
            f"{type(encoder).__name__} and {type(objective).__name__} with these options are not; train them by `study fit`"
        )
    if encoder.dtype != torch.float64:
        raise ValueError("a gradient flow is integrated in float64, and the encoder is of float32; give it dtype float64")
    return Learner(encoder, objective, kappa=model["kappa"], weight_decay=model["weight_decay"])


def assemble(options: dict[str, Any], learner: Learner, data: LinearPairs) -> tuple[GradientFlow, Float[Tensor, "N P"]]:
    """The right-hand side and the initial state, on the accelerator of the options, which are those of `flow`.

    Raises:
        ValueError: they are impossible, or do not belong to this learner and these data.
    """
    encoder, predictor, objective, device = learner.encoder, learner.predictor, learner.objective, options["accelerator"]
    assert isinstance(encoder, MLP) and isinstance(predictor, Matrix), "as learner_of makes them"
    if (options["tau"] is not None) != isinstance(objective, EMA):
        found = f"{'no ' if options['tau'] is None else ''}flow.tau with {type(objective).__name__}"
        raise ValueError(f"flow.tau, the rate of a teacher, belongs to models.EMA and that to flow.tau, found {found}")
    N, D, moments = encoder.networks, max(encoder.sizes), data.moments()
    check_sizes(encoder, data)
    for m in moments:
        m.check()

    def column(values: list[float]) -> Float[Tensor, "N 1 1"]:
        return torch.tensor(values, dtype=torch.float64)[:, None, None]

    def each(name: str, zero: bool = False) -> Float[Tensor, "N 1 1"]:
        return column(per_network(f"flow.{name}", options[name], N, zero))

    layers = [w.detach() for w in encoder.layers]
    layers[0] = layers[0] + each("perturbation", zero=True) * initialisation.noise(encoder.seeds, encoder.sizes, encoder.eps)
    flow = GradientFlow(
        depth=encoder.depth,
        latent=objective.latent,
        Sxx=square([torch.stack([m.Sxx for m in moments])], D)[:, 0].expand(N, -1, -1).to(device),
        Syx=square([torch.stack([m.Syx for m in moments])], D)[:, 0].expand(N, -1, -1).to(device),
        kappa=column(learner.kappa).to(device),
        weight_decay=column(learner.weight_decay).to(device),
        tau=None if options["tau"] is None else each("tau").to(device),
    )
    return flow, flow.pack(layers, each("head") * predictor.weight.detach()).to(device)
