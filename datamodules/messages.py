"""What the user is told about images that are converted or skipped, and names of files that a terminal can show."""

import sys


def printable(text: object, most: int = 200) -> str:
    """Text with control characters and broken encodings escaped, and its middle left out where it is longer than `most`.

    Names come from other people's files: written as they are, a newline or an escape sequence in one would forge output.
    """
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
    return safe if len(safe) <= most else f"{safe[: most // 3]}...{safe[-(most - most // 3) :]}"


def reason(error: Exception) -> str:
    """Why another library or the system refused: the first line of its words, or the error's kind where it has none."""
    words = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), "")
    return printable(words or type(error).__name__)


def say(line: str) -> None:
    """One line on stderr."""
    print(f"study: {line}", file=sys.stderr)
