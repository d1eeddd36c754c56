"""The Hearline server: its addresses as Asterisk and browsers reach them, and what it says of itself."""

from __future__ import annotations

from hearline.assist.selftest.whisper_permission import NOT_YET
from hearline.core.settings import address, page_pair, unknown_settings
from hearline.core.web_phones import WEB_PHONE
from hearline.doctor.box import Box
from hearline.doctor.checks import BECAUSE, Finding, Subject, fault, listed, not_run, ok, warning
from hearline.doctor.console import read_modules
from hearline.pbx.ami import AmiDown, AmiRefused

SUBJECT = Subject("Hearline's server")
START = "systemctl start hearline; journalctl --unit hearline --lines 20"
ADDRESSES = ("agi", "media", "status", "legs", "page")
FOR_PHONES = (
    *("func_db.so", "func_devstate.so", "res_crypto.so", "res_http_websocket.so", "res_manager_devicestate.so"),
    *("res_pjsip_transport_websocket.so", "res_srtp.so"),
)
SAME = "HEARLINE_"
NOT_THE_SERVERS = frozenset({
    "HEARLINE_AMI_SECRET_FILE", "HEARLINE_ASTERISK_TEMPLATES", "HEARLINE_CACHE", "HEARLINE_MIRROR",
})  # fmt: skip
"""Variables that may differ between the server and whoever runs this."""


@SUBJECT.check("addresses", "All addresses are valid")
def addresses(box: Box) -> Finding:
    wrong = []
    for name in (*ADDRESSES, *(("ami",) if box.assist else ()), *(("phone",) if box.settings.phone else ())):
        try:
            address(getattr(box.settings, name))
        except ValueError as error:
            wrong.append(f"HEARLINE_{name.upper()}: {error}")
    if wrong:
        return fault(listed(wrong), "HOST:PORT", "correct them in the unit: systemctl edit hearline")
    return ok(f"{len(ADDRESSES)} addresses")


@SUBJECT.check("server", "The server is ready for calls", "addresses")
def server(box: Box) -> Finding:
    try:
        ready = box.ready
    except (OSError, ValueError) as error:
        return fault(f"no answer at {box.settings.status}: {error}", "an answer to /ready", START)
    if missing := ready.get("flows_not_loaded"):
        found = f"not loaded: {listed(missing)}; their callers go straight to the queue"
        return fault(found, "all flows", "hearline flow check")
    if not ready.get("ready"):
        return fault("no media worker is heard", "ready", START)
    return ok(f"ready at {box.settings.status}")


@SUBJECT.check("agi", "Asterisk's question over AGI is answered", "contexts", "server")
def agi(box: Box) -> Finding:
    url = box.globals.get("HEARLINE_AGI", "").removeprefix("agi://")
    try:
        said = box.server.alive(address(url if ":" in url else f"{url}:4573"))
    except (OSError, ValueError) as error:
        found = f"nobody answers at {url or 'HEARLINE_AGI, which is not set'}: {error}"
        return fault(found, "an answer of the script `alive`", f"hearline dialplan --out {box.folder}; {START}")
    if said != "yes":
        found = "it was not let in" if not said else "the server has lost its media worker"
        return fault(found, "yes", "add Asterisk's address to HEARLINE_ALLOW, and restart the server")
    return ok(f"{url} answers")


def _listens(box: Box, name: str, workers: int) -> Finding:
    host, first = address(getattr(box.settings, name))
    for port in range(first, first + workers):
        try:
            box.server.connect((host if host not in ("0.0.0.0", "::") else "127.0.0.1", port))
        except OSError as error:
            return fault(f"no connection to {host}:{port}: {error}", "a media worker", START)
    return ok(f"{host}:{first}" if workers == 1 else f"{host}:{first}–{first + workers - 1}")


@SUBJECT.check("audiosocket", "The media workers accept AudioSocket", "server")
def audiosocket(box: Box) -> Finding:
    return _listens(box, "media", box.settings.workers)


@SUBJECT.check("prompts", "The server can play all prompts", "server")
def prompts(box: Box) -> Finding:
    if faults := box.ready.get("unreadable_prompts"):
        return fault(f"cannot be played: {listed(sorted(faults))}", "all of them", "hearline sounds check")
    if stuck := box.ready.get("files_stuck"):
        return fault(f"the disk of {stuck['what']} does not answer", "edits that count", "dmesg | tail; df -h")
    return ok("all recordings are read")


@SUBJECT.check("same-settings", "The running server has these settings", "server")
def same_settings(box: Box) -> Finding:
    if not box.hearline:
        return not_run("the server runs on another machine")
    try:
        theirs = box.machine.environment(box.hearline[0].pid)
    except OSError as error:
        return not_run(f"its environment cannot be read: {error.strerror}", "sudo -E hearline doctor")
    if misspelt := unknown_settings(theirs):
        found = f"the server has {listed(misspelt)}, which no setting is called"
        return warning(found, "names as in docs/operate.md, Settings", "correct it in /etc/hearline/hearline.env")
    ours = {f"{SAME}{name.upper()}": str(value) for name, value in box.settings if value is not None}
    given = {name: value for name, value in theirs.items() if name.startswith(SAME) and name not in NOT_THE_SERVERS}
    options = {f"{SAME}{word[2:].upper()}" for word in box.hearline[0].command if word.startswith("--")}
    other = sorted(name for name, value in given.items() if name not in options and ours.get(name, value) != value)
    if other:
        remedy = "hearline doctor --as-server"
        return warning(f"the server has other values of {listed(other)}", "the same", remedy)
    return ok(f"{len(given)} variables")


@SUBJECT.check("assist-connected", "Agent assist is connected to Asterisk", "assist", "server")
def assist_connected(box: Box) -> Finding:
    if not box.standing.get("connected"):
        try:
            box.manager.ask("Ping")
        except (AmiDown, AmiRefused):
            return not_run(f"{BECAUSE} login")
        remedy = "journalctl --unit hearline | grep -i manager"
        return fault("agent assist is down, or has no connection", "connected", remedy)
    return ok(f"to Asterisk {str(box.standing.get('asterisk', '')).partition('+')[0]}")


@SUBJECT.check("assist-gets-all", "Agent assist gets all it needs from Asterisk", "assist-connected")
def assist_gets_all(box: Box) -> Finding:
    if missing := box.standing.get("missing"):
        return fault(listed(missing), "nothing is missing", "docs/operate.md, section 5, step 1")
    return ok("its own probe found nothing missing")


@SUBJECT.check("legs", "Listening legs can connect", "assist-connected")
def legs(box: Box) -> Finding:
    return _listens(box, "legs", 1)


@SUBJECT.check("whispers", "Whispers are allowed, since callers do not hear them", "assist-connected")
def whispers(box: Box) -> Finding:
    if box.standing.get("why") == NOT_YET:
        return not_run("the server has just started, and has not tried yet", "hearline doctor, in a minute")
    if not box.standing.get("whispers"):
        remedy = "journalctl --unit hearline | grep -i whispers"
        return warning(f"not allowed: {box.standing.get('why', '')}", "a test call that proves it", remedy)
    return ok(str(box.standing.get("why", "")))


@SUBJECT.check("hints-in-force", "The newest hints are in force", "assist-connected")
def hints_in_force(box: Box) -> Finding:
    if why := box.standing.get("rejected_hints"):
        return warning(f"rejected: {why}", "the newest version", "hearline hints check")
    return ok("they are")


@SUBJECT.check("page", "The agents' page answers", "assist-connected")
def page(box: Box) -> Finding:
    remedy = "journalctl --unit hearline | grep -i page"
    url = f"{'https' if page_pair(box.settings) else 'http'}://{box.settings.page}/"
    try:
        status = box.server.status_of(url)
    except OSError as error:
        return fault(f"no answer at {url}: {error}", "the page", remedy)
    if status >= 500:
        return fault(f"it answers with {status}", "the page", remedy)
    return ok(f"at {url}")


@SUBJECT.check("page-phones", "Phones in agents' pages reach Asterisk", "console", "page")
def page_phones(box: Box) -> Finding:
    where, more = box.settings.phone, 'docs/operate.md, "A phone in the page"'
    if not where:
        return ok("there are none: HEARLINE_PHONE is empty")
    running = read_modules(box.console("module show"))
    if missing := [module for module in FOR_PHONES if module not in running]:
        load = "\n".join(f"asterisk -rx 'module load {module}'" for module in missing)
        return fault(f"not loaded: {listed(missing)}", f"{len(FOR_PHONES)} modules", load)
    try:
        box.server.connect(address(where))
    except OSError as error:
        return fault(f"no connection to {where}: {error}", "Asterisk's HTTP server", f"http.conf: {more}, step 1")
    if f" {WEB_PHONE}" not in box.console("pjsip show endpoints"):
        return warning(f"no endpoint is called {WEB_PHONE}NUMBER", "one for each agent who takes calls there", more)
    return ok(f"Asterisk's HTTP server at {where}")
