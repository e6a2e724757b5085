"""Numbers of the streams of random numbers that one seed gives, so that no two uses share one. A class from elsewhere takes its own
from 100 on."""

DIRECTIONS, ROWS, FLIPS, DISTRACTOR, NOISE, CROPS_X, CROPS_Y, MASKS = range(8)
