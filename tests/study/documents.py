"""The blocks of code in this program's documents, and what the documents print beside what is printed."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
FENCED = re.compile(r"(?ms)^```([^\n`]*)\n(.*?)^```$")
NUMBER = re.compile(r"(?<![\w.,])[+-]?\d+\.\d+")


@dataclass(frozen=True)
class Block:
    """What stands between two fences, and in which language."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that it is, from its first line; none where it is no file."""
        found = re.match(r"# ([\w-]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else ""


def blocks(name: str) -> list[Block]:
    return [Block(*found) for found in FENCED.findall((ROOT / name).read_text())]


def files(*names: str) -> dict[str, str]:
    """The files that documents show, by name."""
    return {block.file: block.text for name in names for block in blocks(name) if block.file}


def sessions(text: str) -> list[tuple[str, str]]:
    """The commands of a console, and what is shown below each."""
    parts = re.split(r"(?m)^\$ (.*)\n", text)
    assert not parts[0], "a console begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


def check_shown(shown: str, printed: str) -> None:
    """A line `...` stands for any lines; line breaks do not count; a number with a decimal point may differ by ten units of its last
    digit, as machines sum in different orders."""
    parts = [" ".join(part.split()) for part in re.split(r"(?m)^\.\.\.$", shown)]
    words = [f"({NUMBER.pattern})".join(map(re.escape, NUMBER.split(part))) for part in parts]
    found = re.search(".*?".join(words), " ".join(printed.split()))
    assert found, f"expected {shown!r} in {printed!r}"
    for wanted, number in zip(NUMBER.findall(" ".join(parts)), found.groups(), strict=True):
        assert abs(float(wanted) - float(number)) <= 10 ** (1 - len(wanted.split(".")[1])), f"{wanted} against {number}"
