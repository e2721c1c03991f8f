"""Changing what a study's files say at one place, and nothing else of them: comments, layout and order stay.

The place is found by the marks that the parser of YAML gives its nodes, or by the signs of the CSV file, and only the
characters of that value are replaced. A changed file is read again and must say exactly what was wanted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from transforms.study.yaml import StrictLoader

PLAIN = re.compile(r"[A-Za-z0-9(][^\x00-\x1f:#,\[\]{}&*!|>'\"%@`\\]*(?<! )")
"""Texts that mean themselves without quotes, in flow and in block, unless YAML reads them as another type."""

WIDTH = 120
Path_ = Sequence[str | int]


@dataclass(frozen=True)
class WrittenYaml:
    """The text of a YAML file and its tree."""

    text: str

    @cached_property
    def root(self) -> yaml.Node:
        """The tree; its marks count characters of the text."""
        node = yaml.compose(self.text, StrictLoader)
        if node is None:
            raise ValueError("the file is empty")
        return node

    def node(self, path: Path_) -> yaml.Node | None:
        """The node at a path of keys and positions; None where nothing is written there."""
        node: yaml.Node | None = self.root
        for step in path:
            node = _child(node, step)
            if node is None:
                return None
        return node

    def line(self, path: Path_) -> int:
        """The line of a value, or of the longest part of its path that is written, from 1."""
        for length in range(len(path), -1, -1):
            node = self.node(path[:length])
            if node is not None:
                return int(node.start_mark.line) + 1
        return 1

    def replaced(self, path: Path_, value: str | list[str]) -> WrittenYaml:
        """The file with another value there; a key that its mapping lacks is added to it.

        Raises ValueError where the mapping is not written, or where the change would say anything else.
        """
        node, parent = self.node(path), self.node(path[:-1])
        if node is not None:
            start, end = node.start_mark.index, node.end_mark.index
            end = start + len(self.text[start:end].rstrip())
            changed = self.text[:start] + self._rendered(value, parent, node) + self.text[end:]
        elif isinstance(parent, yaml.MappingNode) and parent.value:
            changed = self._added(parent, str(path[-1]), value)
        else:
            raise ValueError(f"nothing is written at {'.'.join(map(str, path[:-1]))}")
        wanted = _set(yaml.load(self.text, StrictLoader), path, value)  # noqa: S506 (a SafeLoader)
        try:
            same = yaml.load(changed, StrictLoader) == wanted  # noqa: S506 (a SafeLoader)
        except yaml.YAMLError:
            same = False
        if not same:
            raise ValueError(f"the value at {'.'.join(map(str, path))} cannot be changed without changing others")
        return WrittenYaml(changed)

    def _added(self, parent: yaml.MappingNode, key: str, value: str | list[str]) -> str:
        last = parent.value[-1][1]
        if parent.flow_style:
            end = parent.end_mark.index - 1
            before = self.text[:end].rstrip()
            blank = self.text[len(before) : end]
            comma = "" if before.endswith(",") else ","
            return f"{before}{comma} {key}: {_flow(value)}{blank}{self.text[end:]}"
        end = last.start_mark.index + len(self.text[last.start_mark.index : last.end_mark.index].rstrip())
        stop = self.text.find("\n", end)
        stop = len(self.text) if stop < 0 else stop
        if self.text[stop - 1 : stop] == "\r":
            stop -= 1
        indent = " " * parent.value[0][0].start_mark.column
        return f"{self.text[:stop]}{self._newline}{indent}{key}: {_flow(value)}{self.text[stop:]}"

    @property
    def _newline(self) -> str:
        return "\r\n" if "\r\n" in self.text else "\n"

    def _rendered(self, value: str | list[str], parent: yaml.Node | None, node: yaml.Node) -> str:
        """The value as the old one was written: folded where that was folded, else quoted where it needs quotes."""
        folded = isinstance(node, yaml.ScalarNode) and node.style in (">", "|")
        if not folded or isinstance(value, list) or parent is None:
            return _flow(value)
        indent = " " * (parent.start_mark.column + 2)
        lines = list(_wrapped(value, WIDTH - len(indent)))
        text = self._newline.join([">-", *(indent + line for line in lines)])
        return text if " ".join(lines) == value and not any(one != one.strip() for one in lines) else _flow(value)


def _wrapped(value: str, width: int) -> Iterator[str]:
    line = ""
    for word in value.split(" "):
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    return None


def _flow(value: str | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_flow(one) for one in value)}]"
    if PLAIN.fullmatch(value) and yaml.load(value, StrictLoader) == value:  # noqa: S506 (a SafeLoader)
        return value
    return json.dumps(value, ensure_ascii=False)


def _set(content: Any, path: Path_, value: str | list[str]) -> Any:
    """The content of the file with that value at the path."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(content, list) and isinstance(step, int):
        return [_set(one, rest, value) if number == step else one for number, one in enumerate(content)]
    known = dict(content)
    key = next((one for one in known if str(one) == str(step)), step)
    return {**known, key: _set(known[key], rest, value) if key in known else value}


@dataclass(frozen=True)
class WrittenCsv:
    """The text of a CSV file, as it is read by `transforms.core.tables.read_table`."""

    text: str

    def replaced(self, row: int, column: str, value: str) -> WrittenCsv:
        """The file with another text in a cell; the row counts from 0, the header and empty lines aside."""
        records = [one for one in _records(self.text) if one]
        header = [_cell(self.text[start:end]).lstrip("\ufeff").strip() for start, end in records[0]]
        start, end = records[row + 1][header.index(column)]
        plain = not any(sign in value for sign in '",\r\n') and value == value.strip()
        written = value if plain else '"' + value.replace('"', '""') + '"'
        return WrittenCsv(self.text[:start] + written + self.text[end:])


def _records(text: str) -> Iterator[list[tuple[int, int]]]:
    """Start and end of each cell of each line, quotes included; nothing for an empty line."""
    cells: list[tuple[int, int]] = []
    start, quoted, position = 0, False, 0
    while position < len(text):
        sign = text[position]
        if sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted:
            cells.append((start, position))
            start = position + 1
        elif sign in "\r\n" and not quoted:
            if cells or position > start:
                cells.append((start, position))
            yield cells
            cells = []
            if text[position : position + 2] == "\r\n":
                position += 1
            start = position + 1
        position += 1
    if cells or start < len(text):
        cells.append((start, len(text)))
        yield cells


def _cell(written: str) -> str:
    bare = written.strip("\ufeff")
    return bare[1:-1].replace('""', '"') if bare.startswith('"') and bare.endswith('"') and len(bare) > 1 else bare


def read_text(path: Path) -> str:
    """A file with its ends of lines as they are."""
    return path.read_bytes().decode("utf-8")
