"""The files that an installation is to have, for the Asterisk that is there. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from posixpath import dirname, join

from hearline.core.settings import AMI_USER
from hearline.install.profiles import FOLDER, Hook, Profile, belongs_to_freepbx, without_manager_folder
from hearline.install.tree import Access, AddedLine, File, Folder, Tree, Wanted
from hearline.pbx.conf_files import Line, active, decoded, is_in, last, read

BY = """\
; Written by `hearline install`, removed by `hearline uninstall`. Leave it unedited: a later version writes it again.
"""
ASSIST = ("features", "manager")  # the parts that only agent assist needs
MODULES, BRIDGES = "hearline-modules.conf", "hearline-bridges.conf"
_HEARLINE = re.compile(r"\bhearline\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Server:
    """Hearline's own side, outside Asterisk's folder. Contents by path.

    Attributes:
        folders: with their modes, parents first.
        seeds: files that belong to the people here from the first installation on, and their modes.
        files: files that stay ours.
        owner: (uid, gid) of all of these.
    """

    folders: Mapping[str, int] = field(default_factory=dict)
    seeds: Mapping[str, tuple[bytes, int]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    owner: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        asterisk: Asterisk's folder.
        parts: the rendered files by name, see `pbx.config.render_parts`.
        channel_variables: what agent assist needs in `channelvars`.
        secret: of the manager's user; empty without agent assist.
        bridges: whispers over silence, which changes all calls of the box.
        messages: the folder of callers' messages.
    """

    profile: Profile
    asterisk: str
    parts: Mapping[str, str]
    channel_variables: str
    messages: str
    secret: str = ""
    bridges: bool = False
    server: Server = Server()

    @property
    def folder(self) -> str:
        return join(self.asterisk, FOLDER)


@dataclass(frozen=True)
class Wishes:
    """``conflicts`` forbid the installation; ``notes`` are for people to read."""

    wanted: tuple[Wanted, ...]
    conflicts: tuple[str, ...]
    notes: tuple[str, ...]


def texts_of(tree: Tree, folder: str) -> dict[str, str]:
    """The files of Asterisk's folder as texts, by their names in it; links are followed."""
    texts = {}
    for path, found in tree.items():
        if not path.startswith(folder + "/"):
            continue
        found = tree.get(found.leads_to, found) if found.kind == "link" else found
        if found.kind == "file":
            texts[path.removeprefix(folder + "/")] = decoded(found.content)
    return texts


def theirs_alone(texts: Mapping[str, str]) -> dict[str, str]:
    """The same without our files and without our lines in theirs."""
    return {
        name: "\n".join("" if is_our_line(line) else line for line in text.split("\n"))
        for name, text in texts.items()
        if not name.startswith(FOLDER + "/")
    }


def is_our_line(line: str) -> bool:
    return line.strip().startswith(f'#tryinclude "{FOLDER}/')


def references(texts: Mapping[str, str]) -> list[str]:
    """Where their files use ours, as ``FILE:LINE``: without ours, these would break."""
    return [
        f"{name}:{number}"
        for name, text in sorted(theirs_alone(texts).items())
        if name.endswith((".conf", ".ael"))
        for number, line in active(text)
        if _HEARLINE.search(line)
    ]


def wanted(request: Request, tree: Tree) -> Wishes:
    """Everything that is to be there, in the order in which it is to come: what is included before what includes it."""
    theirs = theirs_alone(texts_of(tree, request.asterisk))
    hooks, notes = _hooks(request, theirs)
    access = _access(request.asterisk, tree)
    ours = _ours(request, hooks, theirs)
    files: list[Wanted] = [Folder(request.folder, Access(_folder_mode(access), access.uid, access.gid), "dialplan")]
    for name, (part, text) in ours.items():
        closed = Access(access.mode & ~0o007, access.uid, access.gid) if _is_secret(text) else access
        files.append(File(join(request.folder, name), closed, part, text.encode()))
    lines, conflicts = _lines(request, hooks, tree, access)
    conflicts += _by_hand(theirs)
    unheard, unsure = _reached(hooks, theirs, {name: text for name, (_, text) in ours.items()})
    if not tree.get(request.messages.rpartition("/")[0] or "/"):
        notes.append(f"{request.messages}: the folder above it does not exist, so callers cannot leave messages")
    else:
        files.insert(0, Folder(request.messages, Access(0o700, access.uid, access.gid), "dialplan"))
    if access.uid == 0:
        notes.append(
            "Asterisk's files belong to root: if Asterisk runs under an account of its own, give that account "
            f"{request.folder} to read and {request.messages} to write"
        )
    return Wishes(
        wanted=(*_server(request.server), *files, *lines),
        conflicts=(*conflicts, *unheard),
        notes=(*notes, *unsure),
    )


def merged_variables(theirs: str, ours: str) -> str:
    """Their `channelvars` and ours in one line: Asterisk uses only one."""
    present = _variables(theirs)
    return ",".join([*present, *(name for name in _variables(ours) if name not in present)])


# ---- their side ------------------------------------------------------------------------------------------------------
def _hooks(request: Request, theirs: Mapping[str, str]) -> tuple[list[Hook], list[str]]:
    """The places for our lines, and what to tell people about them."""
    profile, notes = request.profile, []
    hooks = [h for h in without_manager_folder(profile, theirs).hooks if request.secret or h.part not in ASSIST]
    autoload = last(read("modules.conf", theirs), "modules", "autoload")
    loads_all = autoload is not None and autoload.value.lower() in ("yes", "true", "on", "1", "y", "t")
    parts = ([] if loads_all else [MODULES]) + ([BRIDGES] if request.bridges else [])
    if parts and profile.modules:
        hooks.append(replace(profile.modules, parts=tuple(parts)))
        notes.append("modules.conf counts when Asterisk starts the next time")
    if request.secret:
        manager = read("manager.conf", theirs)
        enabled, bound = last(manager, "general", "enabled"), last(manager, "general", "bindaddr")
        if enabled is None or enabled.value.lower() not in ("yes", "true", "on", "1", "y", "t"):
            notes.append("manager.conf: agent assist needs `enabled = yes` under [general]")
        if bound is not None and bound.value not in ("127.0.0.1", "::1"):
            notes.append(f"{bound.place}: the manager interface listens on {bound.value}, where others reach it, too")
    return hooks, notes


def _lines(request: Request, hooks: list[Hook], tree: Tree, access: Access) -> tuple[list[Wanted], list[str]]:
    lines: list[Wanted] = []
    conflicts: list[str] = []
    for hook in hooks:
        path = join(request.asterisk, hook.theirs)
        found = tree.get(path)
        if request.profile.name == "freepbx" and found is not None:
            if found.kind == "link":
                conflicts.append(f"{path} is a link into {found.leads_to}: FreePBX's own files stay untouched")
                continue
            if belongs_to_freepbx(decoded(found.content)):
                conflicts.append(f"{path} is written by FreePBX, which would remove our line")
                continue
        if found is not None and found.kind == "link":
            path = found.leads_to  # the link stays, the file behind it gets the line
        above = dirname(path)
        if above.startswith(request.asterisk + "/"):
            lines.append(Folder(above, Access(_folder_mode(access), access.uid, access.gid), hook.part))
        lines.append(AddedLine(path, access, hook.part, hook.line))
    return lines, conflicts


def _by_hand(theirs: Mapping[str, str]) -> list[str]:
    """Includes of Hearline's files that somebody has written: with ours, everything would be there twice."""
    return [
        f"{name}:{number} includes Hearline's files already: remove that line first"
        for name, text in sorted(theirs.items())
        for number, line in active(text)
        if line.startswith("#") and re.search(r"include\b.*\bhearline\b", line, re.IGNORECASE)
    ]


def _reached(hooks: list[Hook], theirs: Mapping[str, str], ours: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """(conflicts, notes) about lines of ours that Asterisk would not read, or that would not count."""
    then = dict(theirs) | {f"{FOLDER}/{name}": text for name, text in ours.items()}
    for hook in hooks:
        then[hook.theirs] = then.get(hook.theirs, "") + "\n" + hook.line + "\n"
    conflicts: list[str] = []
    notes: list[str] = []
    elsewhere = {line.name: line for line in read("extconfig.conf", theirs) if is_in(line, "settings") and line.name}
    for hook in hooks:
        lines = read(hook.main, then)
        if line := elsewhere.get(hook.main):
            said = f"{line.place} has Asterisk read {hook.main} from a database, so our line would not count"
            (conflicts if hook.needed else notes).append(said)
        elif not any(line.kind == "include" and line.value == f"{FOLDER}/{hook.name}" for line in lines):
            said = f"{hook.main} does not include {hook.theirs}, so our line there would not count"
            (conflicts if hook.needed else notes).append(said)
        elif hook.part == "manager" and (line := _overridden(lines)):
            conflicts.append(
                f"{line.place} sets channelvars after our file: move that setting into manager.conf's [general]"
            )
    return conflicts, notes


def _overridden(manager: list[Line]) -> Line | None:
    line = last(manager, "general", "channelvars")
    return None if line is None or line.file.startswith(FOLDER + "/") else line


def _access(asterisk: str, tree: Tree) -> Access:
    """That of their extensions.conf; of the folder, if there is none."""
    found = tree.get(join(asterisk, "extensions.conf"))
    if found is not None and found.kind == "link":
        found = tree.get(found.leads_to)
    if found is not None and found.kind == "file":
        return found.access
    folder = tree[asterisk].access
    return Access(0o640, folder.uid, folder.gid)


def _folder_mode(access: Access) -> int:
    """Whoever may read a file may enter its folder."""
    return 0o700 | (access.mode & 0o044) | (access.mode & 0o044) >> 2


# ---- our side --------------------------------------------------------------------------------------------------------
def _ours(request: Request, hooks: list[Hook], theirs: Mapping[str, str]) -> dict[str, tuple]:
    """(part, text) of our files by name: the rendered ones, then those that include them."""
    files = {name: (hook.part, request.parts[name]) for hook in hooks for name in hook.parts}
    for hook in hooks:
        lines = read(hook.main, theirs)
        there = not hook.section or any(line.kind == "section" and is_in(line, hook.section) for line in lines)
        text = BY + ("" if there else f"[{hook.section}]\n")
        if hook.part == "manager":
            text += _manager(request, lines)
        else:
            text += "".join(f'#tryinclude "{FOLDER}/{name}"\n' for name in hook.parts) + hook.adds
        files[hook.name] = (hook.part, text)
    return files


def _manager(request: Request, theirs: list[Line]) -> str:
    set_already = last(theirs, "general", "channelvars")
    merged = merged_variables(set_already.value if set_already else "", request.channel_variables)
    comment = "; Asterisk uses the last `channelvars` only, so this one repeats yours.\n" if set_already else ""
    return (
        f"[general](+)\n{comment}channelvars = {merged}\n\n"
        f'[{AMI_USER}]\nsecret = {request.secret}\n#tryinclude "{FOLDER}/hearline-manager.conf"\n'
    )


def _variables(text: str) -> list[str]:
    """Split at commas, but not inside a function's parentheses."""
    return [part.strip() for part in re.split(r",(?![^()]*\))", text) if part.strip()]


def _is_secret(text: str) -> bool:
    return re.search(r"^(secret|HEARLINE_PROOF) =", text, re.MULTILINE) is not None


def _server(server: Server) -> list[Wanted]:
    uid, gid = server.owner
    found: list[Wanted] = [
        Folder(path, Access(mode, uid, gid), "server", seed=True) for path, mode in server.folders.items()
    ]
    found += [
        File(path, Access(mode, uid, gid), "server", content, seed=True)
        for path, (content, mode) in server.seeds.items()
    ]
    return found + [File(path, Access(0o644, uid, gid), "server", content) for path, content in server.files.items()]
