"""JEPA against MAE on samples with a distractor: what an experiment hands to the opening of the page."""

from dataclasses import dataclass

from numpy.typing import NDArray

ALL = "all"  # labels


@dataclass(frozen=True)
class Comparison:
    """Two networks that differ in what they predict, and baselines.

    Attributes:
        samples: what they were trained on, as in "on ...".
        network: of which kind they are, as in "a ...".
        distractor: how strong it is, with its symbols.
        data: the data as in the configuration of a run, for a picture of a pair.
        shares: the distractor's share of feature variance [seeds], of "JEPA" and "MAE".
        probes: by number of labels, few to ALL, and then by "JEPA", "MAE" or baseline: test accuracy of a linear probe in % [seeds];
            empty without labels.
    """

    samples: str
    network: str
    distractor: str
    data: dict
    shares: dict[str, NDArray]
    probes: dict[str, dict[str, NDArray]]
