"""The phones in agents' pages, in virtual time: when the queues pause, and whose pauses are ours."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hearline.assist.calls.web_phones import GONE_S, LONGEST_S, Change, Membership, WebPhones
from hearline.core.web_phones import number_of, web_phone
from hearline.pbx.config import PAUSE_REASON

AGENT, WHERE, TICK_S = "8016", "Local/agent-8016@hearline-ring/n", 0.1


@dataclass
class Floor:
    """Asterisk, as far as these phones go: states by agent, pauses by (queue, member)."""

    states: dict[str, str] = field(default_factory=lambda: {AGENT: "UNAVAILABLE"})
    pauses: dict[tuple[str, str], str] = field(default_factory=lambda: {("care", WHERE): "", ("elder", WHERE): ""})
    desk: bool = False
    refuses: bool = False
    now: float = 100.0
    asked: int = 0
    made: list[tuple[float, Change]] = field(default_factory=list)
    shown: list[dict | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Agent assist starts, and logs in."""
        self.phones = WebPhones(lambda agent: self.shown.append(self.phones.view(agent)))
        self.log_in()

    def log_in(self) -> None:
        self.phones.logged_in(self.now)
        for agent, state in self.states.items():
            self.phones.know(agent, state, self.now)

    def becomes(self, state: str, agent: str = AGENT) -> None:
        self.states[agent] = state
        self.phones.know(agent, state, self.now)

    def pause(self, queue: str, reason: str) -> None:
        """Somebody else pauses, or lets go on."""
        self.pauses[queue, WHERE] = reason
        self.phones.look_again(AGENT, self.now)

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until - TICK_S / 2:
            for agent in self.phones.due(self.now):
                self.asked += 1
                members = [Membership(queue, at, bool(why), why) for (queue, at), why in self.pauses.items()]
                for change in self.phones.ask_queues(agent, members, self.desk, self.now):
                    self.made.append((round(self.now, 1), change))
                    if not self.refuses:
                        self.pauses[change.queue, change.interface] = PAUSE_REASON if change.pause else ""
            self.now = round(self.now + TICK_S, 1)

    @property
    def paused(self) -> list[str]:
        """The queues that pause for our reason."""
        return [queue for (queue, _), why in self.pauses.items() if why == PAUSE_REASON]

    @property
    def view(self) -> dict | None:
        return self.phones.view(AGENT)


@pytest.fixture
def floor() -> Floor:
    """An agent at work: with the phone in the page registered."""
    floor = Floor()
    floor.phones.use(AGENT, floor.now)
    floor.run(0.2)
    floor.becomes("NOT_INUSE")
    floor.run(1)
    assert floor.view == {"registered": True, "paused": ""} and not floor.made
    floor.shown.clear()
    return floor


def test_whoever_has_no_such_phone_is_offered_none_and_never_pauses():
    floor = Floor(states={AGENT: "INVALID"})
    floor.phones.use(AGENT, floor.now)
    floor.run(60)
    assert floor.view is None and not floor.made and not floor.asked


def test_a_phone_that_was_never_used_pauses_nobody():
    floor = Floor()
    floor.run(600)
    assert floor.view == {"registered": False, "paused": ""} and not floor.made
    assert floor.asked == 1, "once, for a pause of before we were started"


def test_after_five_seconds_without_a_phone_all_queues_pause_and_go_on_at_once_when_it_is_back(floor):
    gone = floor.now
    floor.becomes("UNAVAILABLE")
    floor.run(GONE_S)
    assert not floor.made
    floor.run(1)
    assert {at for at, _ in floor.made} == {gone + GONE_S} and floor.paused == ["care", "elder"]
    assert floor.shown[-1] == {"registered": False, "paused": "phone_gone"}
    floor.run(60)
    assert len(floor.made) == 2
    back = floor.now
    floor.becomes("NOT_INUSE")
    floor.run(1)
    assert {at for at, _ in floor.made[2:]} == {back} and not floor.paused
    assert floor.shown[-1] == {"registered": True, "paused": ""}
    asked = floor.asked
    floor.run(600)
    assert floor.asked == asked, "nobody is asked about what is settled"


def test_a_short_loss_pauses_nobody(floor):
    for _ in range(10):
        floor.becomes("UNAVAILABLE")
        floor.run(GONE_S - TICK_S)
        floor.becomes("NOT_INUSE")
        floor.run(1)
    assert not floor.made


def test_a_page_that_asked_for_a_password_and_never_registers_pauses():
    floor = Floor()
    floor.phones.use(AGENT, floor.now)
    floor.run(GONE_S + 0.5)
    assert floor.paused == ["care", "elder"]


def test_a_talk_on_the_phone_is_no_loss(floor):
    for state in ("RINGING", "INUSE", "ONHOLD", "INUSE", "NOT_INUSE"):
        floor.becomes(state)
        floor.run(10)
    assert not floor.made and floor.shown == []


def test_whoever_has_a_phone_on_the_desk_does_not_pause(floor):
    floor.desk = True
    floor.becomes("UNAVAILABLE")
    floor.run(60)
    assert not floor.made
    floor.desk = False  # the last phone goes, which the queue reports
    floor.phones.look_again(AGENT, floor.now)
    gone = floor.now
    floor.run(GONE_S - TICK_S)
    assert not floor.made
    floor.run(1)
    assert floor.made[0][0] == pytest.approx(gone + GONE_S)
    floor.desk = True
    floor.phones.look_again(AGENT, floor.now)
    floor.run(1)
    assert not floor.paused and floor.view == {"registered": False, "paused": ""}


def test_a_pause_by_others_stays(floor):
    floor.pause("care", "break")
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    assert floor.paused == ["elder"]
    floor.becomes("NOT_INUSE")
    floor.run(10)
    assert floor.pauses == {("care", WHERE): "break", ("elder", WHERE): ""}


def test_others_may_take_our_pause_over(floor):
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    floor.pause("care", "break")
    floor.becomes("NOT_INUSE")
    floor.run(10)
    assert floor.pauses == {("care", WHERE): "break", ("elder", WHERE): ""}


def test_others_may_let_the_agent_go_on_and_are_not_contradicted(floor):
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    floor.pause("care", "")
    floor.pause("elder", "")
    floor.run(60)
    assert not floor.paused and floor.view["paused"] == "" and len(floor.made) == 2
    floor.becomes("NOT_INUSE")
    floor.run(1)
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    assert floor.paused == ["care", "elder"], "but the next loss counts anew"


def test_a_break_that_ends_without_a_phone_becomes_our_pause(floor):
    floor.pause("care", "break")
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    floor.pause("care", "")
    floor.run(1)
    assert floor.paused == ["care", "elder"]


def test_a_queue_that_takes_the_agent_in_meanwhile_pauses_too(floor):
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    floor.pauses["sales", WHERE] = ""
    floor.phones.look_again(AGENT, floor.now)
    floor.run(1)
    assert floor.paused == ["care", "elder", "sales"]


@pytest.mark.parametrize("back", [True, False])
def test_a_pause_is_found_again_after_a_restart_of_agent_assist(floor, back):
    floor.becomes("UNAVAILABLE")
    floor.run(10)
    if back:
        floor.states[AGENT] = "NOT_INUSE"
    floor.begin()
    floor.run(1)
    assert floor.paused == ([] if back else ["care", "elder"])
    assert floor.view == {"registered": back, "paused": "" if back else "phone_gone"}
    floor.run(60)
    floor.becomes("NOT_INUSE")
    floor.run(1)
    assert not floor.paused


def test_after_a_restart_of_asterisk_pages_have_five_seconds_to_come_back(floor):
    floor.states[AGENT] = "UNAVAILABLE"
    floor.run(60)  # no connection, so nothing is heard
    floor.log_in()
    floor.run(GONE_S - TICK_S)
    assert not floor.made
    floor.run(1)
    assert floor.paused == ["care", "elder"]


def test_who_signs_out_does_not_pause_and_goes_on(floor):
    floor.phones.leave(AGENT, floor.now)
    floor.becomes("UNAVAILABLE")
    floor.run(60)
    assert not floor.made
    floor.phones.use(AGENT, floor.now)
    floor.run(10)
    assert floor.paused
    floor.phones.leave(AGENT, floor.now)
    floor.run(1)
    assert not floor.paused


def test_who_signs_out_in_a_talk_does_not_pause_when_it_is_over(floor):
    floor.becomes("INUSE")
    floor.phones.leave(AGENT, floor.now)
    floor.becomes("NOT_INUSE")  # the talk ends before the contact goes
    floor.becomes("UNAVAILABLE")
    floor.run(60)
    assert not floor.made


def test_a_change_that_asterisk_refuses_is_tried_again_more_and_more_rarely(floor):
    floor.refuses = True
    floor.becomes("UNAVAILABLE")
    floor.run(GONE_S + 600)
    moments = sorted({at for at, _ in floor.made})
    assert 20 <= len(moments) <= 30
    assert max(after - before for before, after in zip(moments, moments[1:])) <= LONGEST_S + TICK_S
    floor.refuses = False
    floor.run(LONGEST_S + 1)
    assert floor.paused == ["care", "elder"]


def test_one_agents_phone_is_nobody_elses(floor):
    floor.states["8017"] = "NOT_INUSE"
    floor.becomes("NOT_INUSE", "8017")
    floor.becomes("UNAVAILABLE")
    floor.run(4)
    assert floor.phones.due(floor.now + 0.9) == [] and floor.phones.due(floor.now + 1) == [AGENT]
    assert floor.phones.view("8017") == {"registered": True, "paused": ""}


@pytest.mark.parametrize(("number", "phone"), [("8016", "web-8016"), ("A16", ""), ("", ""), ("８０１６", "")])
def test_the_name_of_the_phone_in_the_page(number, phone):
    assert web_phone(number) == phone
    assert number_of(phone) == (number if phone else "")


@pytest.mark.parametrize("other", ["agent-8016", "web-", "web-80a6", "8016", "web-web-8016"])
def test_another_phones_name(other):
    assert number_of(other) == ""
