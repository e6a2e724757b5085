"""How the command line reports a mistake: one short line, exit code 2, and what was probably meant where a name is unknown."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_origin

import jsonargparse
import yaml

from study import naming, screen
from study.terminal import say
from study.yaml_files import check

LONGEST = 300  # characters of a message
LISTS = (tuple, list, Sequence)
plain = jsonargparse.get_loader("yaml")  # jsonargparse's own, to which 1e-3 is a number


def load(text: str) -> Any:
    """The values of YAML on the command line or in a configuration, classes by the names that the parser knows.

    Raises:
        yaml.YAMLError: it would be read otherwise than it was meant.
        ValueError: it names a class that cannot be imported.
    """
    check(text)
    found = plain(text)
    return found if isinstance(found, str) else naming.internal(found)


jsonargparse.set_loader("yaml", load, exceptions=(yaml.YAMLError,))


def fail(parser: argparse.ArgumentParser, message: str, where: str = "") -> NoReturn:
    """Print what is wrong in one line, with the place where it is, and the nearest options, or those of the same section, where a
    name is unknown."""
    text = " ".join(essence(str(message)).split())
    if "nrecognized" in text or "accept" in text:
        options = sorted(
            {
                o
                for action in parser._actions
                for o in action.option_strings
                if o.startswith("--") and not o.endswith(("+", "help"))
            }
        )
        section = re.search(r"Group '(\w+)'", text)
        options = [o for o in options if o.startswith(f"--{section[1]}.")] if section else options
        wrong = re.search(r"option '([^']+)'|Option '([^']+)'|: --([\w.-]+)", text)
        name = next(filter(None, wrong.groups())) if wrong else ""
        near = difflib.get_close_matches(f"--{section[1]}.{name}" if section else f"--{name}", options)
        text = f"{text[:150]}; valid options: {' '.join(near or options)}"
    if "xpected a tuple" in text or "expected tuple" in text:
        text += "; write a list with commas, such as 1,2"
    say(f"error: {(where + text)[:LONGEST]}")
    sys.exit(2)


def essence(message: str) -> str:
    """Of what jsonargparse says at length the key, what was expected, and what was found, in one line; other messages as they are."""
    message = naming.shown(message)
    if "Errors:" not in message and "Parser key" not in message:
        return message
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
    """Parser of every command but `fit`, whose help fits one screen. Options are not abbreviated: --seed is no --seeds. Lists can be
    written without brackets (--rates 1e-4,3e-4), and true left out (--download).

    Args:
        examples: commands that the help shows.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **options)
        self.examples = examples

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(self, message)

    def format_help(self, *_: Any) -> str:
        return screen.screen(self, self.examples)

    def parse_args(self, args: Sequence[str], *more: Any, **options: Any) -> jsonargparse.Namespace:  # type: ignore[override]
        lists = {name for action in self._actions if _type(action) in LISTS for name in action.option_strings}
        for action in self._actions:
            if _type(action) is bool:
                action.nargs, action.const = "?", True
        written, before = list[str](), ""
        for text in args:
            option, equals, value = text.partition("=")
            if option in lists and equals:
                text = f"{option}={bracketed(value)}"
            elif before in lists and not text.startswith("--"):
                text = bracketed(text)
            written.append(text)
            before = text
        return super().parse_args(written, *more, **options)


def _type(action: argparse.Action) -> Any:
    """What an option takes, of lists without what they hold."""
    found = getattr(action, "_typehint", None) or action.type
    return get_origin(found) or found


def bracketed(value: str) -> str:
    """A list as the parser takes it."""
    return value if value.lstrip().startswith("[") else f"[{value}]"


def made(base: type, config: dict[str, Any]) -> Any:
    """The object, of a subclass of `base`, that a configuration with class_path and init_args describes.

    Raises:
        ArgumentError, ValueError, TypeError: it is impossible.
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "made")
    return parser.instantiate_classes(parser.parse_object({"made": naming.internal(config)}))["made"]


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
