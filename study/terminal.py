"""What is printed: text in one line of any terminal, and outputs that are closed, full or read by nobody."""

import codecs
import contextlib
import io
import os
import sys
from functools import cache

PLAIN = {"±": "+-", "…": "..."}  # what is printed where the terminal lacks the letter


def escaped(text: object) -> str:
    """Text as one line that is safe to print: what is no printable character (a line's end, an escape sequence, a byte of a path
    that is not UTF-8) as Python would escape it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def say(text: object) -> None:
    """One line on stderr: a note, or what went wrong."""
    print(f"study: {escaped(text)}", file=sys.stderr, flush=True)


@cache
def announce(text: str) -> None:
    """One line on stdout, printed once, as many runs can have the same to say."""
    print(escaped(text), flush=True)


def plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """In plain letters what cannot be encoded, or as Python would escape it."""
    assert isinstance(error, UnicodeEncodeError)
    error.end = error.start + 1
    letter = PLAIN.get(error.object[error.start])
    return (letter, error.end) if letter else codecs.backslashreplace_errors(error)


codecs.register_error("plain", plain)


def prepare() -> None:
    """Make input and outputs usable, whatever the command was given as such."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except (
            OSError
        ):  # closed: the next file that is opened would take its number, and what a library prints be written into it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")  # of characters that the terminal's encoding lacks


def discard() -> None:
    """Give up what cannot be written: the interpreter would try it again at its end, and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            with contextlib.suppress(OSError):
                stream.flush()
