"""Checks YAML that people write against a pydantic model. Every fault names file, line and remedy.

Flows, calendars and hint rules share this. A model's own checks raise ``ValueError("problem|remedy")``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from hearline.yamlfiles.located import YamlError, load_located

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)")
_DAY_MS = 86_400_000
_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000}


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a file. ``line`` counts from 1; 0 is the file as a whole."""

    file: str
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.problem}. {self.remedy}"


class Rejected(ValueError):
    """The file is rejected; ``faults`` gives the reasons, and the message one line for each."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class Words(BaseModel):
    """A YAML mapping; keys that are not its fields are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def duration(value: Any) -> int:
    """``3s``, ``500ms`` or ``2m`` as ms. Raises ValueError."""
    found = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is no duration|Write a number with its unit: 3s, 500ms or 2m")
    ms = float(found[1]) * _UNITS_MS[found[2]]
    if ms > _DAY_MS:
        raise ValueError(f"{value!r} is longer than a day|Write a time that a call can last")
    return round(ms)


def between(low: str, high: str, why: str, read: Callable[[Any], int] = duration) -> AfterValidator:
    """A check that the value lies between ``low`` and ``high``, both included. ``read`` turns the two into numbers;
    ``why`` becomes the remedy."""

    def check(value: int) -> int:
        if not read(low) <= value <= read(high):
            raise ValueError(f"it must be from {low} to {high}|{why}")
        return value

    return AfterValidator(check)


def listed(value: Any) -> Any:
    """The value as a list: a single value stands for a list of one."""
    return value if isinstance(value, list) else [value]


Duration = Annotated[int, BeforeValidator(duration)]
Names = Annotated[tuple[str, ...], BeforeValidator(listed)]


def like(word: str, known: Collection[str]) -> str:
    """A remedy that names the known word nearest to ``word``, or all of them."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else "Known: " + ", ".join(sorted(known))


class YamlDocument:
    """A file's YAML; makes faults that name its lines. Raises Rejected if the text is not valid YAML."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.base: YamlDocument | None = None  # the file that this one builds on
        try:
            self.yaml = load_located(text)
        except YamlError as error:
            raise Rejected([Fault(file, *problem) for problem in error.problems]) from None

    @property
    def data(self) -> Any:
        return self.yaml.value

    def fault(self, path: tuple, problem: str, remedy: str) -> Fault:
        """A fault at the line of ``path``, in this file or in the one it builds on."""
        document, here = self._place(path)
        return Fault(document.file, document.yaml.line(here), problem, remedy)

    def _place(self, path: tuple) -> tuple[YamlDocument, tuple]:
        """The file that has ``path``, and the longest part of ``path`` that it has."""
        here = self.yaml.nearest(path)
        if self.base and len(there := self.base.yaml.nearest(path)) > len(here):
            return self.base, there
        return self, here

    def faults(
        self, error: ValidationError, words: type[BaseModel], above: tuple = (), see: str = "docs/flows.md"
    ) -> list[Fault]:
        """Pydantic's errors as faults. ``above``: the path of the part that was checked against ``words``; ``see``: the
        page that errors without a remedy of their own point to."""
        found = []
        for item in error.errors():
            inner = tuple(part for part in item["loc"] if part != "[key]")
            path = above + inner
            name = path[-1] if path else "the file"
            where = ".".join(map(str, self._place(path)[1])) or "the file"
            match item["type"]:
                case "extra_forbidden":
                    remedy = like(name, _fields_at(words, inner[:-1]))
                    found.append(self.fault(path, f"{where}: unknown word {name!r}", remedy))
                case "missing":
                    problem = f"{name!r} is missing" + (f" in {path[-2]!r}" if above else "")
                    found.append(self.fault(path, problem, f"Add a line `{name}: …`"))
                case "enum" | "literal_error":
                    choices = re.findall(r"'([^']+)'", str(item["ctx"].get("expected", "")))
                    problem = f"{where}: {item['input']!r} is not one of the choices"
                    found.append(self.fault(path, problem, like(item["input"], choices)))
                case "value_error":
                    problem, _, remedy = str(item["ctx"]["error"]).partition("|")
                    found.append(self.fault(path, f"{where}: {problem}", remedy))
                case "string_type":
                    found.append(self.fault(path, f"{where}: {item['input']!r} is not text", "Put it in quotes"))
                case "model_type" | "dict_type":
                    found.append(self.fault(path, f"{where}: {item['input']!r} has no words", "Write them below it"))
                case _:
                    found.append(self.fault(path, f"{where}: {item['msg']}", f"See {see}"))
        return found


def _fields_at(words: type[BaseModel], path: tuple) -> list[str]:
    """The field names that are allowed at ``path`` inside ``words``."""
    kind: Any = words
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = next((f.annotation for n, f in kind.model_fields.items() if part in (n, f.alias)), None)
        else:  # a mapping or a list: go on with the type of its values
            kind = get_args(kind)[-1] if get_args(kind) else None
        while get_origin(kind) is Annotated or type(None) in get_args(kind):
            kind = next(a for a in get_args(kind) if a is not type(None))
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    return [field.alias or name for name, field in kind.model_fields.items()]
