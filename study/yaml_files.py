"""The YAML that users write: read in one way, which refuses what would be read otherwise than it was meant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from study.files import content, shown

DEEPEST = 64  # levels of a document
REPEATED = 1_000_000  # values that the aliases of a document may stand for
PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Node:
    """A value, list or mapping: how many values it stands for, itself included, and on how many levels."""

    anchor: str | None = None
    mapping: bool = False
    values: int = 1
    levels: int = 1
    children: int = 0
    keys: dict[str, int] = field(default_factory=dict)  # the line of each

    def add(self, child: "Node") -> None:
        self.values += child.values
        self.levels = max(self.levels, 1 + child.levels)
        self.children += 1


def check(text: str) -> None:
    """Refuse, without building it, a document in which a key is lost or which never ends.

    Raises:
        yaml.YAMLError: it is no YAML; a key is there twice, or is no plain value; a tag; too many levels or repeated values.
    """
    known: dict[str, Node] = {}
    opened, written = [Node()], 0
    for event in yaml.parse(text, Loader=PARSER):
        assert event.start_mark is not None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.CollectionEndEvent):
            node = opened.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise yaml.YAMLError(f"line {line}: *{event.anchor} stands for nothing that ends before it")
            node = known[event.anchor]
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            node, written = Node(event.anchor, isinstance(event, yaml.MappingStartEvent)), written + 1
            if event.tag:
                raise yaml.YAMLError(f"line {line}: found the tag {event.tag}; write values without tags")
            parent = opened[-1]
            if parent.mapping and parent.children % 2 == 0:
                if not isinstance(event, yaml.ScalarEvent):
                    raise yaml.YAMLError(f"line {line}: a key must be one word, found a list or mapping")
                if event.value in parent.keys:
                    raise yaml.YAMLError(
                        f"line {line}: {event.value!r} is given twice, first in line {parent.keys[event.value]}"
                    )
                parent.keys[event.value] = line
        else:
            continue
        if len(opened) - 1 + node.levels > DEEPEST:  # at once: the parser's time grows with the square of the levels
            raise yaml.YAMLError(f"line {line}: found more than {DEEPEST} levels of lists and mappings")
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(node)
            continue
        if node.anchor:
            known[node.anchor] = node
        opened[-1].add(node)
    (document,) = opened
    if document.values - 1 - written > REPEATED:
        raise yaml.YAMLError(f"its aliases stand for more than {REPEATED:,} values; write fewer, or write them out")


def spot(mark: yaml.Mark) -> str:
    """A place in a document, in words."""
    return f"line {mark.line + 1}, column {mark.column + 1}"


def places(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Where in a file, which was read, each key is and each value of one word; what is there several times, where it is first."""
    keys, values = dict[str, str](), dict[str, str]()
    waiting = [yaml.compose(content(path).decode(), Loader=PARSER)]
    while waiting:
        match waiting.pop(0):
            case yaml.MappingNode(value=pairs):
                for key, value in pairs:
                    keys.setdefault(key.value, spot(key.start_mark))
                    waiting.append(value)
            case yaml.SequenceNode(value=parts):
                waiting += parts
            case yaml.ScalarNode(value=text) as node:
                values.setdefault(text, spot(node.start_mark))
    return keys, values


def read(path: Path) -> dict[str, Any]:
    """The mapping that a file holds, as plain values.

    Raises:
        ValueError: there is no such file, or it holds something else; names the file, and the line where there is one.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a YAML file")
    try:
        text = content(path).decode()
        check(text)
        values = PARSER(text).get_single_data()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8, found byte {error.object[error.start]:#x} at {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = f"{spot(error.problem_mark)}: " if error.problem_mark else ""
        raise ValueError(f"{path}: not YAML: {line}{error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        raise ValueError(f"{path}: not YAML: {shown(str(error))}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of names to values, found {type(values).__name__}")
    return values
