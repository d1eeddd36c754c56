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

from hearline.yamlfiles.characters import odd_in_line, odd_in_name, odd_in_value

MOST_DEPTH = 32
"""Levels of nesting. No file of ours has ten; a thousand would end the process, for the parser recurses."""
MOST_THINGS = 100_000
"""Keys and values, with aliases unfolded: a few lines of aliases of aliases may stand for thousands of millions."""

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
    text = text.removeprefix("\ufeff")  # Windows' editors begin with it
    lines: dict[Location, int] = {(): 1}
    try:
        _check_shape(text)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Located(None, lines)
            if bad := _doubles(root, ()) + _odd_characters(root) + _odd_numbers(loader, root):
                raise YamlError(sorted(set(bad)))
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
        raise YamlError([_told(error, text)]) from None


def _check_shape(text: str) -> None:
    """Raises YamlError where the text is nested too deep, or unfolds into too much; yaml.YAMLError. Reads it event by
    event: this recurses nowhere."""
    sizes: dict[str, int] = {}  # of what has an anchor
    around: list[tuple[str | None, int]] = [(None, 0)]  # (anchor, things in it so far) of all that is open
    for event in yaml.parse(text, _Loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(around) > MOST_DEPTH:
                raise _at(event, f"nested more than {MOST_DEPTH} levels deep", "Take levels out")
            around.append((event.anchor, 0))
            continue
        if isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, size = around.pop()
            size += 1
        elif isinstance(event, yaml.ScalarEvent):
            anchor, size = event.anchor, 1
        elif isinstance(event, yaml.AliasEvent):
            anchor, size = None, sizes.get(event.anchor or "", 1)
        else:
            continue
        if anchor:
            sizes[anchor] = size
        outer, before = around[-1]
        if before + size > MOST_THINGS:
            raise _at(event, f"more than {MOST_THINGS:,} keys and values, aliases (*) unfolded", "Use fewer aliases")
        around[-1] = outer, before + size


def _at(event: yaml.Event, problem: str, remedy: str) -> YamlError:
    return YamlError([(event.start_mark.line + 1 if event.start_mark else 1, problem, remedy)])


_BEGINS_THERE = ("simple key", "quoted scalar", "flow mapping", "flow sequence", "flow node")


def _told(error: yaml.YAMLError, text: str) -> tuple[int, str, str]:
    """(line, problem, remedy). The parser notices many a fault only in a later line than it stands in."""
    rows = text.split("\n")
    if isinstance(error, yaml.reader.ReaderError):
        char = error.character if isinstance(error.character, str) else chr(error.character)
        line, noticed = 1 + text.partition(char)[0].count("\n"), 0
    else:
        mark, begins = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        written = max((number for number, row in enumerate(rows, 1) if row.strip()), default=1)
        line = noticed = min(mark.line + 1 if mark else 1, written)
        if begins and (getattr(error, "context", None) or "").endswith(_BEGINS_THERE):
            line = min(line, begins.line + 1)
    for number in range(max(line, noticed), max(0, line - 2), -1):
        if odd := odd_in_line(rows[number - 1]):
            return number, *odd
    problem = " ".join(str(getattr(error, "problem", None) or error).split())
    later = f" (noticed in line {noticed})" if noticed > line else ""
    return line, f"not valid YAML: {problem}{later}", "Check indentation, colons and quotes there"


def _quoted(node: yaml.Node) -> bool:
    """In quotes, or a block: whoever writes so means every character."""
    return isinstance(node, yaml.ScalarNode) and bool(node.style)


def _odd_characters(root: yaml.Node) -> list[tuple[int, str, str]]:
    """Keys and unquoted texts with characters that nobody sees or means."""
    found, todo, seen = [], [(root, False)], set()
    while todo:
        node, is_key = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            todo += [part for key, value in node.value for part in ((key, True), (value, False))]
        elif isinstance(node, yaml.SequenceNode):
            todo += [(item, False) for item in node.value]
        elif odd := odd_in_name(node.value) if is_key else None if _quoted(node) else odd_in_value(node.value):
            found.append((node.start_mark.line + 1, f"{node.value!r} holds {odd[0]}", odd[1]))
    return found


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
