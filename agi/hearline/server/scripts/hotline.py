"""The AGI script for a call to the hotline: hands it to a media worker, and passes the result to the dialplan."""

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

# The media connection is gone. If the channel is still there, so is the caller, who then goes to the queue.
NOBODY_KNOWS = (None, "hangup:caller")
CALL = "HEARLINE_CALL"
ANY_HOST = ("0.0.0.0", "::")
RESULT_S = 1.0  # the worker sends its result before it closes the connection


def serve(
    agi: AgiSession,
    flows: FlowStore,
    line: WorkerPool,
    lost: Callable[[Finished, str], None],
    over: Callable[[str, str, Finished], None] = lambda _call, _number, _result: None,
    begun: Callable[[str, str], None] = lambda _call, _number: None,
    always_open: bool = False,
    site: str = "site",
) -> None:
    """Serve one call. ``lost`` is called with the result of the IVR, as far as the media worker has reported one, and
    the caller's queue if the media connection broke while the caller stayed; ``begun`` with the
    call's id and the caller's number ('' if withheld), ``over`` with these and the result.

    It sets the channel variables HEARLINE_COLLECTED_<NAME> for each name under which the flow collects keys (empty if
    there are none), HEARLINE_QUEUE, HEARLINE_HEARD, HEARLINE_PHRASES, and last HEARLINE_RESULT (queue, hangup or
    message). Without HEARLINE_RESULT the dialplan sends the caller to the queue. Before a soft caller goes to a queue,
    their line is raised.

    If the dialplan names the flow (HEARLINE_FLOW), the caller was with an agent already: the phrase set stays as it is,
    and `queue` leads back to the queue they came from.
    """
    call = _call_id(agi, site)
    name, dialled = agi.get_variable("HEARLINE_FLOW"), agi.env["agi_extension"]
    try:
        flow, testing = (flows.named(name), True) if name else flows.for_number(dialled)
    except LookupError as error:
        log.error("a caller goes straight to the queue: %s", error.args[0])
        return
    number = _number(agi)
    begun(call, number)
    now, channel = datetime.now(UTC), agi.env["agi_channel"]
    entry = Entry(call, site, now, flow.plan.flow, "" if name else dialled_number(dialled), trunk_of(channel))
    begin = None if testing or always_open else flow.begin_at(now)
    for collected in flow.plan.collects:  # clear the values that an earlier flow may have left
        agi.set_variable(_variable(collected), "")
    try:
        pending = line.announce(flow.plan, begin, channel, entry)
    except WorkerDown as error:
        log.error("a caller goes straight to the queue: %s", error)
        return
    try:
        host, port = pending.address
        if host in ANY_HOST:
            host = agi.local_host  # the address at which Asterisk has just reached us
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        with agi.patience(flow.plan.limit_ms / 1_000 + 10):
            try:
                agi.appexec("AudioSocket", f"{pending.uuid},{where}")
            except AGIAppError:
                pass  # the connection broke, or the caller hung up; the code below finds out which
        result = pending.wait(RESULT_S)
        if result is not None:
            over(call, number, result)
            for collected, keys in result.collected.items():
                agi.set_variable(_variable(collected), keys)
        if result is None or result.outcome in NOBODY_KNOWS:
            agi.set_variable("__HEARLINE_HEARD", "unknown")  # raises if the caller has hung up
            nothing = Finished(pending.uuid, channel, None, "unknown", {}, entry=entry)
            lost(result or nothing, agi.get_variable("HEARLINE_QUEUE"))
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
    """The call's id, made by the dialplan, or a new one if that is not valid. From now on this thread logs for that
    call."""
    call = agi.get_variable(CALL)
    known = is_call_id(call)
    if not known:
        call = new_call_id(site, datetime.now(UTC))
    name_call(call)
    if not known:
        log.warning("the call came without a valid id: are the dialplan and its modules of this version?")
        agi.set_variable(f"__{CALL}", call)
    return call


def _number(agi: AgiSession) -> str:
    """The caller's number; '' if there is none, or the caller withholds it. A trusted trunk sends us the number even
    then (RFC 3325)."""
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
    """Make Asterisk raise the caller's line. The gain saturates at full scale, and stays with the channel through queue
    and join. If it fails, the call goes on without it."""
    if not gain_db:
        return
    try:
        agi.set_variable("VOLUME(RX)", f"{gain_factor(gain_db):.3f}")
        raised = agi.get_variable("VOLUME(RX)")  # Asterisk accepts the setting of functions that it lacks
    except AGIHangup:
        raise
    except AGIError as error:
        raised, why = "", type(error).__name__
    else:
        why = "is func_volume loaded?"
    if not raised:
        log.warning("a soft caller's line could not be raised by %d dB: %s", gain_db, why)
