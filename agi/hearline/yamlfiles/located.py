"""Loads YAML and remembers the line of each key and item, so that an error can name it.

`on`, `off`, `yes` and `no` are words, not booleans, and a date is text (as in YAML 1.2). A key may occur only once in a
mapping. Whole numbers are decimal: 011, which YAML reads as 9, and 8:30, which it reads as 510, must be quoted.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from hearline.yamlfiles.characters import odd_in_line, odd_in_name, odd_in_value

MOST_DEPTH = 32
"""Levels of nesting. No file of ours has ten; a thousand would crash the process, since the parser recurses."""
MOST_THINGS = 100_000
"""Keys and values, with aliases expanded: a few lines of nested aliases can stand for billions."""

_DECIMAL = re.compile(r"[-+]?(0|[1-9]\d*)")

Location = tuple[Hashable, ...]
"""Keys and indices from the root to a value."""


class YamlError(ValueError):
    """The text is not acceptable YAML. ``problems``: a list of (line, problem, remedy)."""

    def __init__(self, problems: list[tuple[int, str, str]]) -> None:
        super().__init__("\n".join(f"line {line}: {problem}. {remedy}" for line, problem, remedy in problems))
        self.problems = problems


@dataclass(frozen=True)
class Located:
    """A value, and the line (from 1) of every key and item in it."""

    value: Any
    lines: dict[Location, int]

    def nearest(self, location: Location) -> Location:
        """``location``, or the nearest thing around it that the text has.

        A word in ``location`` where the text has a list is skipped: a validator that put the list into a mapping has
        added it.
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
            except (ValueError, LookupError, AttributeError) as error:  # too many digits for a number, `!!bool maybe`
                line = _first_bad(loader, root)
                raise YamlError([(line, f"not valid YAML: {error}", "Put it in quotes if it is a text")]) from None
            _note_lines(loader, root, (), lines)
            return Located(value, lines)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlError([_explained(error, text)]) from None


def _check_shape(text: str) -> None:
    """Check depth and size event by event, without recursion.

    Raises:
        YamlError: the text is nested too deeply, or too large with its aliases expanded.
        yaml.YAMLError: the text cannot be parsed.
    """
    sizes: dict[str, int] = {}  # by anchor
    around: list[tuple[str | None, int]] = [(None, 0)]  # (anchor, things in it so far) of every open collection
    for event in yaml.parse(text, _Loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            if len(around) > MOST_DEPTH:
                raise _at(event, f"nested more than {MOST_DEPTH} levels deep", "Nest less deeply")
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
            raise _at(event, f"more than {MOST_THINGS:,} keys and values, aliases (*) expanded", "Use fewer aliases")
        around[-1] = outer, before + size


def _at(event: yaml.Event, problem: str, remedy: str) -> YamlError:
    return YamlError([(event.start_mark.line + 1 if event.start_mark else 1, problem, remedy)])


_BEGINS_THERE = ("simple key", "quoted scalar", "flow mapping", "flow sequence", "flow node")


def _explained(error: yaml.YAMLError, text: str) -> tuple[int, str, str]:
    """(line, problem, remedy). The parser notices many faults some lines below the one that has them."""
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
    """True if the text is in quotes or a block: then every character in it is deliberate."""
    return isinstance(node, yaml.ScalarNode) and bool(node.style)


def _odd_characters(root: yaml.Node) -> list[tuple[int, str, str]]:
    """Keys and unquoted texts with invisible characters or full-width colons: (line, problem, remedy)."""
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
    """The line of the first scalar that cannot be converted to the type it looks like."""
    todo = [node]
    loader.recursive_objects.clear()  # left over from the failed construction
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


# libyaml's loader if it is installed: it is ten times as fast.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_GUESSED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(?:true|false)$"), list("tf"))


def _doubles(node: yaml.Node, above: tuple[yaml.Node, ...]) -> list[tuple[int, str, str]]:
    """Keys that occur twice in a mapping, and anchors that contain themselves: (line, problem, remedy)."""
    if node in above:
        return [(node.start_mark.line + 1, "an anchor that contains itself", "Remove the * reference")]
    above = (*above, node)
    found = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, str(key.value)
            if name in seen:
                problem = f"{name!r} occurs here a second time (first in line {seen[name]})"
                found.append((line, problem, "Keep one of the two"))
            seen[name] = line
            found += _doubles(value, above)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _doubles(item, above)
    return found


def _odd_numbers(loader: _Loader, root: yaml.Node) -> list[tuple[int, str, str]]:
    """Whole numbers that YAML reads as another number than they look like: (line, problem, remedy)."""
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
                continue  # reported when it is constructed
            found.append((node.start_mark.line + 1, problem, f'If these are digits put them in quotes: "{node.value}"'))
    return sorted(found)


def _note_lines(loader: yaml.SafeLoader, node: yaml.Node, location: Location, lines: dict[Location, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            # The key's line, not the value's: the value of an alias is elsewhere.
            for name in (key, str(key)):  # a number can be looked up as text, too
                lines[(*location, name)] = key_node.start_mark.line + 1
            _note_lines(loader, value_node, (*location, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*location, index)] = item.start_mark.line + 1
            _note_lines(loader, item, (*location, index), lines)
