"""YAML that remembers on which line each value stood, so that an error can name it."""

from collections.abc import Hashable
from typing import Any

import yaml

Location = tuple[Hashable, ...]
"""Keys and indices from the root to a value."""


def load_located(text: str) -> tuple[Any, dict[Location, int]]:
    """The value of a YAML text and the line (1…) of each value in it. Raises yaml.YAMLError."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, {}
        value = loader.construct_document(root)  # first: it resolves merge keys (<<) in the nodes
        lines: dict[Location, int] = {}
        _note_lines(loader, root, (), lines)
        return value, lines
    finally:
        loader.dispose()


def line_of(lines: dict[Location, int], location: Location) -> int | None:
    """Line of the value at `location`, or of the nearest one around it."""
    for length in range(len(location), -1, -1):
        if location[:length] in lines:
            return lines[location[:length]]
    return None


def _note_lines(loader: yaml.SafeLoader, node: yaml.Node, location: Location, lines: dict) -> None:
    lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            # The key's line, not the value's: an alias' value stands elsewhere.
            lines[(*location, key)] = key_node.start_mark.line + 1
            _note_lines(loader, value_node, (*location, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note_lines(loader, item, (*location, index), lines)
