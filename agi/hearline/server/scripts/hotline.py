"""A caller of the hotline: greet, listen, prompt, and tell the dialplan where to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from asterisk.agi import AGIAppError, AGIError, AGIHangup

from hearline.audio.level.gain import gain_factor
from hearline.call.entry import Entry, dialled_number, trunk_of
from hearline.core.ids import is_call_id, new_call_id
from hearline.core.logs import name_call
from hearline.media.worker_client import WorkerDown
from hearline.media.worker_pool import WorkerPool
from hearline.media.worker_protocol import Finished
from hearline.pbx.agi import AgiSession
from hearline.pbx.config import NUMBER_SHOWN, PRESENTATION
from hearline.server.flow_store import FlowStore

log = logging.getLogger(__name__)

# The media connection is gone. If the channel is not, the caller is still there, and goes to the queue.
NOBODY_KNOWS = (None, "hangup:caller")
CALL = "HEARLINE_CALL"
ANY_HOST = ("0.0.0.0", "::")
RESULT_S = 1.0  # the worker tells its result before it closes the connection


def serve(
    agi: AgiSession,
    flows: FlowStore,
    line: WorkerPool,
    lost: Callable[[str, str], None],
    over: Callable[[str, str, Finished], None] = lambda _call, _number, _result: None,
    always_open: bool = False,
    site: str = "site",
) -> None:
    """Serve one call. ``lost`` is given the id of a call whose media connection broke while the caller stayed, and the
    queue they went to; ``over`` each call's id, the caller's number ('' where withheld), and how its IVR part ended.

    Channel variables set: HEARLINE_COLLECTED_<NAME> for each name under which the flow collects keys (empty where there
    are none), HEARLINE_QUEUE, HEARLINE_HEARD, HEARLINE_PHRASES, and last HEARLINE_RESULT (queue, hangup or message).
    Without HEARLINE_RESULT the dialplan sends the caller to the queue. The line of a soft caller who goes to a queue is
    raised first.

    A flow that is asked for by its name (HEARLINE_FLOW) has a caller who was with an agent already: their
    wording stays, and `queue` leads back to where they came from.
    """
    call = _call_id(agi, site)
    name, dialled = agi.get_variable("HEARLINE_FLOW"), agi.env["agi_extension"]
    try:
        flow, testing = (flows.named(name), True) if name else flows.for_number(dialled)
    except LookupError as error:
        log.error("a caller goes straight to the queue: %s", error.args[0])
        return
    number = _number(agi)
    now, channel = datetime.now(UTC), agi.env["agi_channel"]
    entry = Entry(call, site, now, flow.plan.flow, "" if name else dialled_number(dialled), trunk_of(channel))
    begin = None if testing or always_open else flow.begin_at(now)
    for collected in flow.plan.collects:  # what an earlier flow has left in it is no answer to this one
        agi.set_variable(_variable(collected), "")
    try:
        pending = line.announce(flow.plan, begin, channel, entry)
    except WorkerDown as error:
        log.error("a caller goes straight to the queue: %s", error)
        return
    try:
        host, port = pending.address
        if host in ANY_HOST:
            host = agi.local_host  # what Asterisk has just reached us by
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with agi.patience(flow.plan.limit_ms / 1_000 + 10):
            try:
                agi.appexec("AudioSocket", f"{pending.uuid},{where}")
            except AGIAppError:
                pass  # the connection broke, or the caller did: what is set below decides
        result = pending.wait(RESULT_S)
        if result is not None:
            over(call, number, result)
            for collected, keys in result.collected.items():
                agi.set_variable(_variable(collected), keys)
        if result is None or result.outcome in NOBODY_KNOWS:
            agi.set_variable("__HEARLINE_HEARD", "unknown")  # raises where the caller has hung up indeed
            lost(call, agi.get_variable("HEARLINE_QUEUE"))
            return
        kind, _, queue = result.outcome.partition(":")
        if not name:
            agi.set_variable("HEARLINE_PHRASES", f"{flow.plan.language}/{flow.plan.phrases}")
        if kind == "queue":
            if not name or queue != flow.words.queue:
                agi.set_variable("HEARLINE_QUEUE", queue)
            _raise_line(agi, result.timeline["gain_db"])
        agi.set_variable("__HEARLINE_HEARD", result.heard)
        agi.set_variable("HEARLINE_RESULT", kind)
    finally:
        line.withdraw(pending)


def _call_id(agi: AgiSession, site: str) -> str:
    """The call's id, as the dialplan has made it; what this thread logs from now on is about that call. Who has none
    that is shaped as ours gets one."""
    call = agi.get_variable(CALL)
    known = is_call_id(call)
    if not known:
        call = new_call_id(site, datetime.now(UTC))
    name_call(call)
    if not known:
        log.warning("the call came without an id of ours: are the dialplan and its modules of this version?")
        agi.set_variable(f"__{CALL}", call)
    return call


def _number(agi: AgiSession) -> str:
    """The caller's number; '' where there is none, or the caller does not want it to be seen: an operator may trust a
    trunk to tell it all the same (RFC 3325)."""
    try:
        presentation = agi.get_variable(PRESENTATION)
    except AGIHangup:
        raise
    except AGIError:
        return ""
    return agi.env.get("agi_callerid", "") if presentation.startswith(NUMBER_SHOWN) else ""


def _variable(collected: str) -> str:
    return f"HEARLINE_COLLECTED_{collected.upper()}"


def _raise_line(agi: AgiSession, gain_db: int) -> None:
    """Have Asterisk raise what the caller sends. It saturates where that would be too loud, stays with the channel
    through queue and join, and costs nobody the call where it cannot be had."""
    if not gain_db:
        return
    try:
        agi.set_variable("VOLUME(RX)", f"{gain_factor(gain_db):.3f}")
        raised = agi.get_variable("VOLUME(RX)")  # Asterisk says yes to setting even what it does not have
    except AGIHangup:
        raise
    except AGIError as error:
        raised, why = "", type(error).__name__
    else:
        why = "is func_volume loaded?"
    if not raised:
        log.warning("a soft caller's line could not be raised by %d dB: %s", gain_db, why)
