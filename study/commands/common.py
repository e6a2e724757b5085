"""What several commands share: arguments, and how a command and claims are shown."""

import os
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from study.arguments import Folder, Parser
from study.terminal import escaped, say

if TYPE_CHECKING:
    from study.experiments.base import Claim


def add_out(parser: Parser) -> None:
    parser.add_argument("--out", type=Folder(), default=Path("runs"), help="folder of results")


def add_name(parser: Parser) -> None:
    parser.add_argument("name", type=str, nargs="?", default=None, help="an experiment; default: all")


def add_device(parser: Parser) -> None:
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto, cpu or cuda")


def given() -> str:
    """The command, as results keep it."""
    return escaped(shlex.join(["study", *sys.argv[1:]]))


def show(address: str) -> None:
    """Open a page in the browser, or say that there is none."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        say(f"no display here to open {address} on")
    elif not webbrowser.open(address):
        say(f"no browser here to open {address} in")


def print_claims(made: "list[Claim]") -> None:
    from study.experiments.verdict import REFUTED, counted
    from study.report.texts import number, repetitions

    width, widest = max((len(c.id) for c in made), default=0), max((len(c.verdict) for c in made), default=0)
    for c in made:
        verdict = c.verdict.upper() if c.verdict == REFUTED else c.verdict
        print(f"{verdict:<{widest}}  {c.id:<{width}}  predicted {c.predicted}, measured {number(c.measured)} "
              f"[{number(c.low)}, {number(c.high)}], {repetitions(c)}")  # fmt: skip
    for name, outside in dict.fromkeys((c.experiment, c.outside) for c in made if c.outside):
        print(f"{name} with {outside}: measurements, as that leaves the conditions of the claims")
    print(counted(c.verdict for c in made))
