"""YAML as people write it, and on which line each thing stands, so that an error can name it.

`on`, `off`, `yes` and `no` are words, not truth values, and a date is a text (as in YAML 1.2). No key may stand in a
mapping twice. Whole numbers are decimal: 011, which YAML takes for 9, and 8:30, which it takes for 510, must be quoted.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

_DECIMAL = re.compile(r"[-+]?(0|[1-9]\d*)")

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
        """``location``, or the nearest thing around it that stands in the text.

        A word where the text has a list is passed over: a check that takes one thing for many has put it there.
        """
        here: Location = ()
        for part in location:
            if (*here, part) in self.lines:
                here = (*here, part)
            elif (*here, 0) not in self.lines:
                break
        return here

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
            if bad := _doubles(root, ()) + _odd_numbers(loader, root):
                raise YamlError(bad)
            try:
                value = loader.construct_document(root)  # before the lines: it resolves merge keys (<<) in the nodes
            except (ValueError, LookupError, AttributeError) as error:  # a number without end, !!bool maybe
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


_NOT_GUESSED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")


# libyaml's, where there is one: ten times as fast
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_GUESSED]
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


def _odd_numbers(loader: _Loader, root: yaml.Node) -> list[tuple[int, str, str]]:
    """Whole numbers that are another number than they look like."""
    found, todo, seen = [], [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            todo += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif node.tag == "tag:yaml.org,2002:int" and not _DECIMAL.fullmatch(node.value):
            try:
                problem = f"{node.value} is the number {loader.construct_yaml_int(node)} in YAML"
            except ValueError:
                continue  # said of it later
            found.append((node.start_mark.line + 1, problem, f'If these are digits put them in quotes: "{node.value}"'))
    return sorted(found)


def _note_lines(loader: yaml.SafeLoader, node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            # The key's line, not the value's: an alias' value stands elsewhere.
            for name in (key, str(key)):  # a number is found as a text, too
                lines[(*location, name)] = key_node.start_mark.line + 1
            _note_lines(loader, value_node, (*location, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*location, index)] = item.start_mark.line + 1
            _note_lines(loader, item, (*location, index), lines)
