"""YAML as people write it, and on which line each thing stands, so that an error can name it.

`on`, `off`, `yes` and `no` are words, not truth values (as in YAML 1.2), and no key may stand in a mapping twice.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

Location = tuple[Hashable, ...]
"""Keys and indices from the root to a value."""


class YamlError(ValueError):
    """A text that cannot be taken as it is; ``problems`` holds (line, problem, remedy) of each."""

    def __init__(self, problems: list[tuple[int, str, str]]) -> None:
        super().__init__("\n".join(f"line {line}: {problem}. {remedy}" for line, problem, remedy in problems))
        self.problems = problems


@dataclass(frozen=True)
class Located:
    """A value, and the line (1…) of every key and item in it."""

    value: Any
    lines: dict[Location, int]

    def nearest(self, location: Location) -> Location:
        """``location``, or the nearest thing around it that stands in the text."""
        while location not in self.lines:
            location = location[:-1]
        return location

    def line(self, location: Location) -> int:
        """The line of ``location``, or of the nearest thing around it."""
        return self.lines[self.nearest(location)]


def load_located(text: str) -> Located:
    """Read a YAML text. Raises YamlError."""
    lines: dict[Location, int] = {(): 1}
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Located(None, lines)
            if doubles := _doubles(root, ()):
                raise YamlError(doubles)
            try:
                value = loader.construct_document(root)  # before the lines: it resolves merge keys (<<) in the nodes
            except (ValueError, LookupError, AttributeError) as error:  # a 30th of February, !!bool maybe
                line = _first_bad(loader, root)
                raise YamlError([(line, f"not valid YAML: {error}", "Put it in quotes if it is a text")]) from None
            _note_lines(loader, root, (), lines)
            return Located(value, lines)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        remedy = "Check indentation, colons and quotes there"
        raise YamlError([(mark.line + 1 if mark else 1, f"not valid YAML: {problem}", remedy)]) from None


def _first_bad(loader: _Loader, node: yaml.Node) -> int:
    """The line of the first scalar that cannot be what it looks like."""
    todo = [node]
    loader.recursive_objects.clear()  # what was being made when it failed
    while todo:
        node = todo.pop(0)
        if isinstance(node, yaml.ScalarNode):
            try:
                loader.construct_object(node)
            except (ValueError, LookupError, AttributeError):
                break
        else:
            listed = isinstance(node, yaml.SequenceNode)
            todo[:0] = node.value if listed else [part for pair in node.value for part in pair]
    return node.start_mark.line + 1


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # libyaml's, where there is one: ten times as fast
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|false)$"), list("tf"))


def _doubles(node: yaml.Node, above: tuple[yaml.Node, ...]) -> list[tuple[int, str, str]]:
    """Keys that stand in a mapping twice, and anchors that hold themselves."""
    if node in above:
        return [(node.start_mark.line + 1, "an anchor that holds itself", "Remove the * reference")]
    above = (*above, node)
    found = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in seen:
                problem = f"{name!r} stands here a second time (first in line {seen[name]})"
                found.append((line, problem, "Keep one of the two"))
            seen[name] = line
            found += _doubles(value, above)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _doubles(item, above)
    return found


def _note_lines(loader: yaml.SafeLoader, node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            # The key's line, not the value's: an alias' value stands elsewhere.
            lines[(*location, key)] = key_node.start_mark.line + 1
            _note_lines(loader, value_node, (*location, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*location, index)] = item.start_mark.line + 1
            _note_lines(loader, item, (*location, index), lines)
