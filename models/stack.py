"""N copies of any network trained as one: their weights stacked, their forward passes one by `vmap`."""

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from models.encoder import Encoder, Precision

SAMPLES = 4  # of the batch that a new network is tried on
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, NameError)  # of others' code


class Stack(Encoder):
    """Networks of one kind, each with the initialisation that its module has after `torch.manual_seed(seed)`.

    The module maps a batch of views [B, *shape] to features [B, ...], or to a dictionary of named taps, "features" among them. What
    it makes of a sample depends on the sample and its weights alone: no batch statistics, no dropout, no buffer that changes; group,
    layer and RMS normalisation are fine. A single network is called as it is, at its full speed.

    Args:
        network: makes the module; in a configuration its class by import path, with its arguments.
        shape: of a view, such as 3, 16, 16; the product of its sizes is the data's dimension.
        recorded: submodules whose outputs are taps, too, by their dotted names.
        seeds: one initialisation seed per network; their number is N.
        dtype: "float32" or "float64".

    Raises:
        ValueError: the module cannot be made or take such views, has no features, or is not as described above.
    """

    def __init__(
        self,
        network: Callable[[], nn.Module],
        shape: list[int],
        recorded: list[str] = [],  # noqa: B006 - LightningCLI shows the default; it is never changed
        seeds: list[int] = [0],  # noqa: B006
        dtype: Precision = "float32",
    ) -> None:
        if not shape or min(shape) < 1:
            raise ValueError(f"shape must hold the sizes of a view, found {shape}")
        inputs = torch.Size(shape).numel()
        super().__init__(inputs, 1, seeds, dtype)
        self.shape, self.recorded = list(shape), list(recorded)
        made = [self._make(network, seed) for seed in self.seeds]
        self._module = [made[0]]  # in a list, so that its weights are not taken for this module's
        tried = _tried(made[0], self._call, shape, self.dtype)
        self.features, self._taps = tried["features"][0].numel(), [*(tap for tap in tried if tap != "features"), "features"]
        self.names = [name for name, _ in made[0].named_parameters()]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.stack(same).detach(), requires_grad=same[0].requires_grad)
            for same in zip(*(list(module.parameters()) for module in made), strict=True)
        )
        if not self.names:
            raise ValueError(f"{type(made[0]).__name__} has no parameters to train")
        self.constants = [name for name, _ in made[0].named_buffers()]
        for i, same in enumerate(zip(*(list(module.buffers()) for module in made), strict=True)):
            self.register_buffer(f"constant{i}", torch.stack(same), persistent=False)
        made[0].to("meta")

    def _make(self, network: Callable[[], nn.Module], seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                module = network()
            except FAILURES as error:
                raise ValueError(f"the network cannot be made: {_reason(error)}") from error
        if not isinstance(module, nn.Module):
            raise ValueError(f"network must make a torch module, found {type(module).__name__}")
        return module.to(self.dtype)

    @property
    def taps(self) -> list[str]:
        return self._taps

    def _call(self, weights: dict[str, Tensor], view: Float[Tensor, "B ..."]) -> dict[str, Tensor]:
        """Taps of one network."""
        module, taps = self._module[0], dict[str, Tensor]()
        hooks = [module.get_submodule(name).register_forward_hook(_keep(taps, name)) for name in self.recorded]
        try:
            found = functional_call(module, weights, (view,))
        finally:
            for hook in hooks:
                hook.remove()
        return taps | (found if isinstance(found, dict) else {"features": found})

    def forward(self, x: Float[Tensor, "S B d"]) -> dict[str, Float[Tensor, "N B _"]]:
        views = x.unflatten(-1, self.shape)
        weights = dict(zip(self.names, self.weights, strict=True))
        weights |= {name: getattr(self, f"constant{i}") for i, name in enumerate(self.constants)}
        if self.networks == 1:
            taps = {tap: v[None] for tap, v in self._call({name: w[0] for name, w in weights.items()}, views[0]).items()}
        else:
            shared = len(views) == 1
            taps = vmap(self._call, (0, None if shared else 0))(weights, views[0] if shared else views)
        return {tap: taps[tap].flatten(2) for tap in self.taps}


def _keep(taps: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
    def keep(module: nn.Module, given: tuple, found: Tensor) -> None:
        taps[name] = found

    return keep


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}, {' '.join(str(error).split())[:200]}"


def _tried(
    module: nn.Module, call: Callable[[dict[str, Tensor], Tensor], dict[str, Tensor]], shape: list[int], dtype: torch.dtype
) -> dict[str, Tensor]:
    """The taps of a new network on a few samples, once it is known to be one that can be stacked.

    Raises:
        ValueError: it is not; says why, and what to do.
    """
    name = type(module).__name__
    views = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    weights = dict(module.named_parameters()) | dict(module.named_buffers())
    before = copy.deepcopy(dict(module.named_buffers()))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            first, again, few = call(weights, views), call(weights, views), call(weights, views[:2])
        except FAILURES as error:
            raise ValueError(f"{name} cannot take views of shape {shape}: {_reason(error)}") from error
    wrong = [tap for tap, value in first.items() if not isinstance(value, Tensor) or value.ndim < 2 or len(value) != SAMPLES]
    if wrong or "features" not in first:
        raise ValueError(f"{name} must return features [B, ...], or named taps with features among them; found {list(first)}")
    if any(not torch.equal(before[buffer], value) for buffer, value in module.named_buffers()):
        raise ValueError(f"{name} changes its buffers, as batch normalisation does; give it group or layer normalisation")
    for tap, value in first.items():
        if not value.isfinite().all():
            raise ValueError(f"{tap} of {name} is not finite for normal views at its initialisation; look at its weights")
        if not torch.equal(value, again[tap]):
            raise ValueError(f"{tap} of {name} is random, as dropout makes it; set its rate to 0")
        if not torch.allclose(value[:2], few[tap], rtol=1e-3, atol=1e-4 * float(value.abs().max())):
            raise ValueError(f"{tap} of {name} depends on the other samples of a batch; give it group or layer normalisation")
    return first
