"""The last word to a running Asterisk's manager interface. When the setting `channelvars` has gone, it goes on adding
those variables to its events until it reads another one. So where nobody else sets it, an empty one comes first."""

from __future__ import annotations

from collections.abc import Mapping

from hearline.install.journal import Journal
from hearline.install.profiles import FOLDER
from hearline.install.tree import Step, Tree, sha256
from hearline.install.wanted import texts_of, theirs_alone
from hearline.pbx.conf_files import last, read

NONE = b"[general](+)\nchannelvars =\n"


def farewell(journal: Journal, tree: Tree) -> tuple[Step, Journal] | None:
    """The step, and the journal that covers it. None if it is not needed, or has been taken."""
    path = f"{journal.asterisk}/{FOLDER}/manager.conf"
    found = tree.get(path)
    entry = next((entry for entry in journal.entries if entry.path == path), None)
    if entry is None or found is None or sha256(found.content) not in entry.ours or found.content == NONE:
        return None
    if _set_by_them(theirs_alone(texts_of(tree, journal.asterisk))):
        return None
    covered = entry.model_copy(update={"ours": (*entry.ours, sha256(NONE))})
    entries = tuple(covered if each is entry else each for each in journal.entries)
    step = Step("write", path, "manager", found.access, found.content, NONE)
    return step, journal.model_copy(update={"entries": entries})


def _set_by_them(theirs: Mapping[str, str]) -> bool:
    return last(read("manager.conf", theirs), "general", "channelvars") is not None
