"""What a network is given: a view of each sample, and two views that belong together."""

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor


class View(NamedTuple):
    """S batches of B samples, flat or not, and which parts of each are shown: numbers of tokens, or None for all."""

    values: Float[Tensor, "S B ..."]
    keep: Int[Tensor, "S B k"] | None = None


class Pair(NamedTuple):
    """The view x, out of whose features something of the view y is predicted."""

    x: View
    y: View
