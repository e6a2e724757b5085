"""Help that fits one screen: what a command does, two examples, and its options in groups, each with its default as it would be
written."""

import argparse
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

NARROWEST, WIDEST = 40, 110  # columns
NAMES = 27  # columns of names at most, where the terminal is not narrow
KEPT = "\0"  # stands for a space at which no line ends
STANDS = {int: "N", float: "X", str: "NAME", Path: "PATH"}  # for a value of this type

# The group of an option, by its name, which means the same in every command.
GROUPS = {
    "data": (
        "images", "root", "download", "bad_files", "most_pixels", "groups", "size", "window", "step", "count", "pairing", "lag", "patch",
        "ratio", "smallest",
    ),
    "noise": ("distractor", "noises", "kind", "directions", "amplitude", "gamma", "sigma", "crop", "cells", "clean"),
    "network": ("networks", "methods", "decays", "depths", "depth", "width", "widths", "eps", "k", "lift", "train"),
    "training": ("updates", "short", "trial", "batch", "rates", "rate", "labels", "seeds", "seed", "tolerance", "observers"),
    "options": (),  # all others
    "cluster": (
        "launcher", "cluster", "partition", "account", "timeout", "nodes", "gpus_per_node", "array_parallelism", "runs_per_job",
    ),
}  # fmt: skip
BRIEF = {"cluster": "docs/cluster.md describes them"}  # groups of which the names are enough, and where the rest is


def screen(parser: argparse.ArgumentParser, examples: Sequence[str] = ()) -> str:
    """The help of a command."""
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
    positional = [action for action in shown if not action.option_strings]
    named = {title: [action for action in shown if action.option_strings and group(action.dest) == title] for title in GROUPS}
    given = [f"[{name(action)}]" if action.nargs == "?" else name(action) for action in positional]
    lines = [" ".join(["usage:", parser.prog, *given, *(["[options]"] if any(named.values()) else [])]), ""]
    lines += [*wrapped(parser.description or ""), ""]
    lines += ["examples:", *(f"  {example}" for example in examples)] if examples else []
    lines += rows((name(action), text(action)) for action in positional)
    width = column([name(action) for actions in named.values() for action in actions])
    for title, actions in named.items():
        if title in BRIEF and actions:
            names = " ".join(name(action).replace(" ", KEPT) for action in actions)
            lines += [f"{title} ({BRIEF[title]}):", *(line.replace(KEPT, " ") for line in wrapped(names, "  "))]
        elif actions:
            lines += [f"{title}:", *rows(((name(action), text(action)) for action in actions), width)]
    return "\n".join(lines) + "\n"


def group(option: str) -> str:
    return next((title for title, options in GROUPS.items() if option in options), "options")


def name(action: argparse.Action) -> str:
    """An option with its default, or what stands for its value; a positional argument in capitals."""
    if not action.option_strings:
        return action.dest.upper()
    if action.nargs == 0:
        return action.option_strings[0]
    unset = action.default is None or action.default == []
    return f"{action.option_strings[0]} {stands(action) if unset else written(action.default)}"


def stands(action: argparse.Action) -> str:
    """What stands for the value of an option without a default."""
    if action.choices:
        return "|".join(action.choices)
    kind = getattr(action, "_typehint", None) or action.type
    (kind, *_) = [of for of in get_args(kind) if of is not type(None)] or [kind]
    return STANDS.get(kind, str(action.metavar or action.dest.upper()))


def text(action: argparse.Action) -> str:
    return " ".join((action.help or "").split()).removesuffix(".")


def written(value: object) -> str:
    """A value as it would be written after its option."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ",".join(map(written, value))
    return str(value) if isinstance(value, str | int | Path) else repr(value)


def columns() -> int:
    """Of the terminal, or of a usual one where there is none."""
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))


def column(names: Iterable[str]) -> int:
    """How wide the column of these names is."""
    return min(max(map(len, names), default=0), NAMES, columns() // 3)


def rows(pairs: Iterable[tuple[str, str]], width: int | None = None) -> list[str]:
    """Names and texts in two columns."""
    pairs = list(pairs)
    width = column([name for name, _ in pairs]) if width is None else width
    lines = []
    for name, text in pairs:
        indent = " " * (width + 4)
        found = textwrap.wrap(text, columns(), initial_indent=indent, subsequent_indent=indent) or [""]
        if len(name) <= width or len(f"  {name}  {text}") <= columns():
            found = found if len(name) <= width else [text]
            found[0] = f"  {name:<{width}}  {found[0].lstrip()}".rstrip()
        else:
            found.insert(0, f"  {name}")
        lines += found
    return lines


def wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), columns(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
