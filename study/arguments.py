"""How the command line reports a mistake: one line, exit code 2, and the valid options where one is unknown."""

import argparse
import sys
from typing import NoReturn

import jsonargparse


def fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Print what is wrong in one line, and the options of the same section where a name is unknown."""
    text = " ".join(str(message).split())
    if "nrecognized" in text or "accept" in text:
        options = sorted({o for action in parser._actions for o in action.option_strings if o.startswith("--")})
        named = [o for o in options if o.split(".")[0].strip("-") in ("model", "data") and "." in o] or options
        text += f"; valid options: {' '.join(named)}"
    if "Expected a <class 'tuple'>" in text:
        text += "; write a list in brackets, such as [1,2]"
    print(f"study: error: {text}", file=sys.stderr)
    sys.exit(2)


class Parser(jsonargparse.ArgumentParser):
    """Parser of every command but `fit`."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(self, message)
