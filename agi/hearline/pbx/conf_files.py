"""Asterisk's configuration files, read as Asterisk reads them: comments dropped, includes followed. Pure: the files
come as texts by their names below the folder of the configuration, such as ``manager.d/README.conf``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import basename, dirname

DEEPEST = 10
"""How deep files may include each other; Asterisk's limit."""
MOST_BYTES = 64 * 1024 * 1024
"""More than any file that a program has written for Asterisk."""
BLANK = "".join(map(chr, range(33)))
"""What Asterisk takes for blanks at the ends of a line. (Only a line feed ends it.)"""
_MARK = "\ufeff"  # some editors put it at the beginning of a file; Asterisk skips it
_INCLUDE = re.compile(r"#(?:try)?include\s+(.+)", re.IGNORECASE)
_SECTION = re.compile(r"\[([^\]]*)\](?:\s*\(([^)]*)\))?")  # blanks are part of the name


@dataclass(frozen=True)
class Line:
    """A line that counts, with the file and the line number where it stands.

    ``section`` is the one it is in, or that it opens. ``again``: there was a section of this name before, and this one
    does not add to it; where Asterisk asks for one section, as for the settings of a module, it reads the first alone.
    An include has its target in ``value`` and no ``name``; a section has neither.
    """

    file: str
    number: int
    kind: str  # "section", "setting", "include"
    section: str
    name: str = ""
    value: str = ""
    again: bool = False

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


def active(text: str) -> Iterator[tuple[int, str]]:
    """(number, text) of each line that is more than a comment. ``;`` begins a comment, ``;--`` one that ends with
    ``--;``; ``\\;`` is a semicolon."""
    inside = 0
    for number, line in enumerate(text.removeprefix(_MARK).split("\n"), 1):
        kept, at = "", 0
        if not inside and ";--" not in line and "\\;" not in line:  # most lines
            kept, at = line.partition(";")[0], len(line)
        while at < len(line):
            if inside:
                if line.startswith("--;", at):
                    inside, at = inside - 1, at + 3
                elif line.startswith(";--", at) and not line.startswith(";---", at):
                    inside, at = inside + 1, at + 3
                else:
                    at += 1
            elif line.startswith("\\;", at):
                kept, at = kept + ";", at + 2
            elif line.startswith(";--", at) and not line.startswith(";---", at):
                inside, at = 1, at + 3
            elif line[at] == ";":
                break
            else:
                kept, at = kept + line[at], at + 1
        if kept := kept.strip(BLANK):
            yield number, kept


def decoded(content: bytes) -> str:
    """A file as text. Asterisk takes any bytes; what is no UTF-8, such as a name in Latin-1, is only looked at."""
    return content.decode("utf-8", "replace")


def read(start: str, files: Mapping[str, str], folder: str = "/etc/asterisk") -> list[Line]:
    """All lines of the file ``start`` and of those that it includes, in the order in which they count.

    Args:
        files: texts by name below ``folder``.
        folder: the folder of the configuration; an include with an absolute path may lie in it.
    """
    reader = _Reader(files, folder)
    reader.read(start, "", False, ())
    return reader.found


def is_in(line: Line, section: str) -> bool:
    """True if a line is in this section, and counts there. Asterisk does not mind capitals."""
    return line.section.lower() == section.lower() and not line.again


def last(lines: list[Line], section: str, name: str) -> Line | None:
    """The setting that counts where only the last one of a name does."""
    settings = [
        line for line in lines if line.kind == "setting" and is_in(line, section) and line.name.lower() == name.lower()
    ]
    return settings[-1] if settings else None


class _Reader:
    def __init__(self, files: Mapping[str, str], folder: str) -> None:
        self.found: list[Line] = []
        self._files, self._folder = files, folder.rstrip("/") + "/"
        self._sections: set[str] = set()

    def read(self, name: str, section: str, again: bool, above: tuple[str, ...]) -> None:
        """Read one file, in the section from which it is included.

        Args:
            above: the files that include this one. None of them is read again: where files include each other, Asterisk
                reads the same lines over and over, to its limit.
        """
        above = (*above, name)
        for number, text in active(self._files.get(name, "")):
            if include := _INCLUDE.match(text):
                target = include[1].strip().strip("\"'<>").removeprefix(self._folder)
                self.found.append(Line(name, number, "include", section, value=target, again=again))
                for each in _matching(target, self._files) if len(above) < DEEPEST else ():
                    if each not in above:
                        self.read(each, section, again, above)
            elif opened := _SECTION.match(text):
                section, options = opened[1], (opened[2] or "").split(",")
                again = section.lower() in self._sections and "+" not in (option.strip() for option in options)
                self._sections.add(section.lower())
                self.found.append(Line(name, number, "section", section, again=again))
            elif "=" in text:
                setting, _, value = text.partition("=")
                value = value.removeprefix(">").strip()
                self.found.append(Line(name, number, "setting", section, setting.strip(), value, again))


def _matching(target: str, files: Mapping[str, str]) -> list[str]:
    if not re.search(r"[*?\[]", target):
        return [target] if target in files else []
    return sorted(
        name
        for name in files
        if dirname(name) == dirname(target)
        and not basename(name).startswith(".")
        and fnmatchcase(basename(name), basename(target))
    )
