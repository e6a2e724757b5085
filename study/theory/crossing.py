"""When a gain first reaches a level, from the accepted steps of an integration.

Shapes: T recorded states (a network that did not move in a step repeats its row), N networks, f features.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def first_crossing(
    t: Float[Tensor, "T N"], w: Float[Tensor, "T N f"], speed: Float[Tensor, "T N f"], level: Float[Tensor, "N f"]
) -> Float[Tensor, "N f"]:
    """Time at which w first passes `level`, upwards or downwards; infinite where it never does.

    Between two states t is interpolated as a cubic of log w with the exact slopes w / (dw/dt): small initialisations grow
    like a power of (t* - t), which is smooth in log w and not in t.
    """
    above = w >= level
    passed = above[1:] != above[:1]
    index = passed.int().argmax(0)[None]  # the step that passes it first
    t = t[..., None].expand_as(w)
    (t0, t1), (w0, w1), (s0, s1) = ((v.gather(0, index)[0], v.gather(0, index + 1)[0]) for v in (t, w, speed))
    span = (w1 / w0).log()
    share = (level / w0).log() / span
    m0, m1 = span * w0 / s0, span * w1 / s1
    rest = 1 - share
    cubic = t0 * rest**2 * (1 + 2 * share) + m0 * share * rest**2 + t1 * share**2 * (3 - 2 * share) - m1 * share**2 * rest
    linear = t0 + share * (t1 - t0)
    # A mode at rest on one side has no finite slope there; a cubic that leaves the step is no interpolation.
    time = torch.where(cubic.isfinite() & (cubic >= t0) & (cubic <= t1), cubic, linear)
    return torch.where(passed.any(0), time, torch.inf)
