"""How the command line reports a mistake: one line, exit code 2, and the valid options where one is unknown."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

import jsonargparse

from study.terminal import say


def fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Print what is wrong in one line, and the options of the same section where a name is unknown."""
    text = " ".join(str(message).split())  # the parser's own messages have several lines
    if "nrecognized" in text or "accept" in text:
        options = sorted({o for action in parser._actions for o in action.option_strings if o.startswith("--")})
        named = [o for o in options if o.split(".")[0].strip("-") in ("model", "data") and "." in o] or options
        text += f"; valid options: {' '.join(named)}"
    if "Expected a <class 'tuple'>" in text:
        text += "; write a list in brackets, such as [1,2]"
    say(f"error: {text}")
    sys.exit(2)


class Parser(jsonargparse.ArgumentParser):
    """Parser of every command but `fit`."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(self, message)


class Folder:
    """The type of an option that is a folder; where a shell has not put in what was meant, results would lie where nobody looks
    for them."""

    def __call__(self, given: str | Path) -> Path:
        """The path.

        Raises:
            ArgumentTypeError: it is empty, or begins with a ~ that the shell has left.
        """
        text = str(given)
        if not text:
            raise argparse.ArgumentTypeError("expected a folder, found an empty name; give . for the folder this is")
        if text.startswith("~"):
            raise argparse.ArgumentTypeError(
                f"expected a folder, found {text}, which the shell has not expanded; give the whole path"
            )
        return Path(text)

    def __repr__(self) -> str:
        """As --help shows it."""
        return "folder"
