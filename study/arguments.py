"""How the command line reports a mistake: one short line, exit code 2, and what was probably meant where a name is unknown."""

import argparse
import difflib
import re
import sys
from typing import Any, NoReturn

import jsonargparse

from study import yaml_files as yaml_files  # jsonargparse reads YAML by it

LONGEST = 300  # characters of a message


def fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Print what is wrong in one line, and the nearest options, or those of the same section, where a name is unknown."""
    text = essence(str(message))
    if "nrecognized" in text or "accept" in text:
        options = sorted({o for action in parser._actions for o in action.option_strings if o.startswith("--")})
        section = re.search(r"Group '(\w+)'", text)
        options = [o for o in options if o.startswith(f"--{section[1]}.")] if section else options
        wrong = re.search(r"option '([^']+)'|Option '([^']+)'|: --([\w.-]+)", text)
        name = next(filter(None, wrong.groups())) if wrong else ""
        near = difflib.get_close_matches(f"--{section[1]}.{name}" if section else f"--{name}", options)
        text = f"{text[:150]}; valid options: {' '.join(near or options)}"
    print(f"study: error: {text[:LONGEST]}", file=sys.stderr)
    sys.exit(2)


def essence(message: str) -> str:
    """A message in one line; of what jsonargparse says at length the key, what was expected, and what was found."""
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", " ".join(message.split()))
    key, found = re.search(r'Parser key "([^"]+)":', text), re.search(r"Given value: (.*)$", text)
    if "Errors: - " in text:  # of each type that the value could have been of
        tried = re.split(r" (?:Given value type:|Subclass types expect)", text.split("Errors: - ", 1)[1])[0].split(" - ")
        expected = [of.removeprefix("Expected a ") for of in tried if of.startswith("Expected a ")]
        said = [of for of in tried if not of.startswith(("Expected a ", "Not a valid"))]
        text = said[0] if said else f"expected {' or '.join(e for e in expected if e != 'NoneType') or 'another value'}"
        if found and not said:
            text += f", found {found[1][:60]}"
        if key:
            text = f"{key[1]}: {text}"
    return text


class Parser(jsonargparse.ArgumentParser):
    """Parser of every command but `fit`. Options are not abbreviated: --seed is no --seeds."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(self, message)
