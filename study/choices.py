"""Words and numbers that options can be, shared by commands, experiments and forecasts: known here without importing what
computes, which takes seconds, so that a help is shown at once."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
Kind = Literal["global", "patch", "smooth"]  # of a distractor's directions; that of datamodules.noise
Pairings = Literal["noise", "crop", "mask", "frames", "lag", "neighbours"]
NUMBERS = (100, 300, 1000, 3000)  # of labels at which a probe is fitted, beside all
