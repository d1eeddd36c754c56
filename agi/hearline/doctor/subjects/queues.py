"""Queues, their members, their music, and agents' keys."""

from __future__ import annotations

from hearline.doctor.box import Box, members_of
from hearline.doctor.checks import Finding, Subject, fault, listed, not_run, ok, warning
from hearline.doctor.console import read_features
from hearline.pbx.conf_files import last
from hearline.pbx.config import KEY_CODES
from hearline.sounds.manifest import load_manifest
from hearline.store.accounts import Accounts, Role, accounts_file

SUBJECT = Subject("Queues and agents")
RING = "@hearline-ring"
OUR_KEY = "hearline-"
OUR_CLASS = "hearline"
NO_ASSIST = "agent assist is not set up: HEARLINE_AMI is empty"


@SUBJECT.check("queues", "The queues to which the flows lead exist", "console", "flows")
def queues(box: Box) -> Finding:
    if missing := [name for name in box.flow_queues if name not in box.queues]:
        remedy = "\n".join(f"in queues.conf: [{name}](hearline-queue)" for name in missing)
        found = f"no queue {listed(missing)}"
        return fault(found, listed(box.flow_queues), f"{remedy}\nasterisk -rx 'module reload app_queue.so'")
    return ok(listed(box.flow_queues))


@SUBJECT.check("members", "Each queue has members", "queues")
def members(box: Box) -> Finding:
    if empty := [name for name in box.flow_queues if not box.queues[name]]:
        remedy = "\n".join(
            f"in queues.conf, in [{name}]: member => Local/agent-8016@hearline-ring/n,0,8016,PJSIP/agent-8016"
            for name in empty
        )
        return warning(f"nobody is in {listed(empty)}, so callers wait for ever", "one member or more", remedy)
    return ok(listed([f"{len(box.queues[name])} in {name}" for name in box.flow_queues]))


@SUBJECT.check("member-phones", "The phone of each member is known", "members", "endpoints")
def member_phones(box: Box) -> Finding:
    lost = []
    for member in members_of(box):
        kind, _, where = member.phone.partition(":")
        if kind == "hint":
            hint = box.console(f"core show hint {where.partition('@')[0]}")
            known = "PJSIP/" in hint
        else:
            known = member.phone.removeprefix("PJSIP/") in box.endpoints
        if not known:
            lost.append(member)
    if lost:
        remedy = "as fourth field of each `member =>`, write the phone: PJSIP/NAME, as `pjsip show endpoints` lists it"
        found = f"no such phone: {listed([member.phone for member in lost])}"
        return warning(found, "an endpoint, or a hint that names one", remedy)
    through = sum(RING in member.interface for member in members_of(box))
    return ok(f"{len(members_of(box))} phones; {through} ring through hearline-ring, with a whisper before the join")


@SUBJECT.check("spoken-queues", "The whisper before the join can name each queue", "queues")
def spoken_queues(box: Box) -> Finding:
    names = load_manifest(box.settings.sounds).queue_names("zh")
    # The whisper is heard by whoever rings through hearline-ring, so not in queues whose members do not.
    whispering = [q for q in box.flow_queues if not box.queues[q] or any(RING in m.interface for m in box.queues[q])]
    if silent := [name for name in whispering if name not in names]:
        remedy = f"in {box.settings.sounds}/manifest.yaml, languages: zh: whisper: queues:, add them; then make sounds"
        return warning(f"no whisper for {listed(silent)}: agents are joined at once", "a spoken name", remedy)
    return ok(listed(whispering) or "no queue has a whisper")


@SUBJECT.check("wrapup", "Agents get calls again after a transfer", "configuration")
def wrapup(box: Box) -> Finding:
    sections = dict.fromkeys([*box.flow_queues, "hearline-queue"])
    lines = box.conf("queues.conf")
    counting = [last(lines, section, "wrapuptime") for section in sections]
    if held := [line for line in counting if line and line.value != "0"]:
        found = f"wrapuptime is {held[-1].value} in {held[-1].place}"
        return warning(found, "wrapuptime = 0", "set wrapuptime = 0 there, then: asterisk -rx 'queue reload all'")
    return ok("wrapuptime is 0")


@SUBJECT.check("music", "Callers hear music while they wait", "console")
def music(box: Box) -> Finding:
    classes = [line.partition(":")[2].strip() for line in box.console("moh show classes").splitlines()]
    if OUR_CLASS not in classes:
        remedy = f"echo '#tryinclude \"hearline-musiconhold.conf\"' >> {box.folder}/musiconhold.conf\n"
        return fault("no music class `hearline`", "the class", f"{remedy}asterisk -rx 'moh reload'")
    folder = box.settings.sounds / "music"
    if not any(folder.glob("*.wav")):
        return fault(f"no recording in {folder}", "at least one", "hearline sounds check")
    return ok("the class `hearline`")


@SUBJECT.check("keys", "Agents' keys work in calls", "console")
def keys(box: Box) -> Finding:
    if not box.assist:
        return not_run(NO_ASSIST)
    known = {name for name, _ in read_features(box.console("features show"))}
    if missing := [key for key in KEY_CODES.values() if OUR_KEY + key not in known]:
        remedy = "in features.conf: #tryinclude \"hearline-features.conf\"\nasterisk -rx 'module reload features'"
        return warning(f"without a code: {listed(missing)}", f"{len(KEY_CODES)} keys", remedy)
    return ok(f"{len(KEY_CODES)} keys")


@SUBJECT.check("key-codes", "No other feature has the code of an agents' key", "keys")
def key_codes(box: Box) -> Finding:
    features = list(read_features(box.console("features show")))
    ours = {code for name, code in features if name.startswith(OUR_KEY)}
    if shared := sorted({name for name, code in features if code in ours and not name.startswith(OUR_KEY)}):
        found = f"the same code as an agents' key: {listed(shared)}"
        remedy = "in features.conf, below the include, in [applicationmap](+): give one of them another code"
        return warning(found, "codes that differ", remedy)
    return ok("each code has one meaning")


def _accounts(box: Box) -> Accounts:
    return Accounts(accounts_file(box.settings.state))


@SUBJECT.check("accounts", "Each agent can sign in to the page", "members", "state")
def accounts(box: Box) -> Finding:
    if not box.assist:
        return not_run(NO_ASSIST)
    known = {account.number for account in _accounts(box).all()}
    if without := sorted({member.number for member in members_of(box)} - known):
        remedy = "\n".join(f"hearline agents pin {name}" for name in without[:6])
        return warning(f"{len(without)} members have no account: {listed(without)}", "one for each", remedy)
    return ok(f"{len(known)} accounts")


@SUBJECT.check("teams", "A supervisor's team has agents", "accounts")
def teams(box: Box) -> Finding:
    all_ = _accounts(box).all()
    agents = {account.team for account in all_ if account.role is Role.AGENT}
    alone = [account.number for account in all_ if account.role is Role.SUPERVISOR and account.team not in agents]
    if alone:
        remedy = "hearline agents role NUMBER --team TEAM, for each agent of the team"
        return warning(f"supervisors whose team has no agent: {listed(alone)}", "agents of the same team", remedy)
    return ok(f"{sum(account.role is Role.SUPERVISOR for account in all_)} supervisors")
