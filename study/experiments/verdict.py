"""The verdict on a claim: what was measured, held against the region of numbers that was predicted."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

HOLDS: Final = "holds"
REFUTED: Final = "refuted"
INCONCLUSIVE: Final = "inconclusive"
MEASUREMENT: Final = "measurement"  # made under other conditions than the claim's, so that nothing is judged


class Region(NamedTuple):
    """Numbers from at_least to at_most, both included: a strict bound is the next number beside it."""

    at_least: float = -math.inf
    at_most: float = math.inf


def around(center: float, within: float) -> Region:
    return Region(center - within, center + within)


def above(bound: float) -> Region:
    return Region(at_least=math.nextafter(bound, math.inf))


def below(bound: float) -> Region:
    return Region(at_most=math.nextafter(bound, -math.inf))


def judge(region: Region, low: float, high: float, n: int | None) -> str:
    """The claim holds where its whole interval lies in the region, and is refuted where the whole interval lies outside; else
    it is inconclusive. So it is, too, without a repetition: n < 2. n is None for a quantity that has none because nothing in it
    is random; its interval is a point, and decides."""
    if n is not None and n < 2:
        return INCONCLUSIVE
    if region.at_least <= low and high <= region.at_most:
        return HOLDS
    if high < region.at_least or low > region.at_most:
        return REFUTED
    return INCONCLUSIVE  # also where the interval is not a number


def counted(verdicts: Iterable[str]) -> str:
    """How many there are of each, as text. Measurements are no claims."""
    found = Counter(verdicts)
    measurements = found.pop(MEASUREMENT, 0)
    judged = (
        f"{found[HOLDS]:,} of {found.total():,} claims hold, {found[REFUTED]:,} refuted, {found[INCONCLUSIVE]:,} inconclusive"
    )
    others = f"{measurements:,} measurement{'s' * (measurements != 1)} under other conditions"
    if not measurements:
        return judged
    return f"{judged}; {others}" if found else others
