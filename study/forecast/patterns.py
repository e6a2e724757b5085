"""What features look like: the patterns of inputs that go with them, and the strongest covariances.

Shapes: d inputs, m features.
"""

from jaxtyping import Float
from torch import Tensor

from datamodules import Moments
from study.forecast.end_state import EndState
from study.observers.leading import leading

MOST = 8  # features that are shown


def patterns(moments: Moments, end: EndState) -> dict[str, Float[Tensor, "m d"]]:
    """By "rho" the inputs that covary with the features of highest rho, Sxx v, which say more than the weights v (Haufe et al.,
    NeuroImage 2014); by "lam" the leading eigenvectors of the symmetric part of Syx. Each of length 1, its largest number positive."""
    m = min(MOST, len(end.features.rho))
    strongest = leading((moments.Syx + moments.Syx.mT) / 2, m)[1]
    found = {"rho": moments.Sxx @ end.features.directions[:, :m], "lam": strongest}
    return {name: _upright(v / v.norm(dim=0)).mT.contiguous() for name, v in found.items()}


def _upright(v: Float[Tensor, "d m"]) -> Float[Tensor, "d m"]:
    return v * v.gather(0, v.abs().argmax(0, keepdim=True)).sign()
