"""Noisy images of any source, by the options of `study run pixels`, as data and as their configuration."""

from datamodules import SourcePairs
from datamodules.noise import Distractor
from datamodules.pairings import Crops, Same
from study.sources import made, source

SOURCE = ("root", "download", "bad_files", "most_pixels", "size", "groups")
NOISE = ("directions", "amplitude", "gamma", "sigma")


def _parts(images="builtin", distractor="global", flip=False, crop=1.0, **options):
    """Configurations of source, noise and pairing, and the other options."""
    given = {name: options.pop(name) for name in SOURCE if name in options}
    if "root" in given:
        given["root"] = str(given["root"])
    noise = {"kind": distractor} | {name: options.pop(name) for name in NOISE if name in options}
    pairing = ("Crops", {"smallest": crop}) if crop < 1 else ("Same", {"flip": flip})
    return source(images, given), noise, pairing, options


def noisy(images="builtin", root=None, **options):
    """The data, not set up."""
    of, noise, (kind, arguments), rest = _parts(images, **({} if root is None else {"root": root}), **options)
    pairing = {"Crops": Crops, "Same": Same}[kind](**arguments)
    return SourcePairs(made(of), Distractor(**noise), pairing, **rest)


def config(images="builtin", **options):
    """The same as a configuration."""
    of, noise, (kind, arguments), rest = _parts(images, **options)
    return {
        "class_path": "datamodules.SourcePairs",
        "init_args": {
            "source": of,
            "noise": {"class_path": "datamodules.noise.Distractor", "init_args": noise},
            "pairing": {"class_path": f"datamodules.pairings.{kind}", "init_args": arguments},
            **rest,
        },
    }


def load(images, root=None, reading=None):
    """The splits of a source of pictures, read as `reading` says."""
    given = {} if reading is None else vars(reading)
    return made(source(images, given | ({} if root is None else {"root": str(root)}))).load()
