"""The files of the hints: what is accepted, what is rejected, and whether the message helps."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from hearline.assist.hints import events as e
from hearline.assist.hints import rules as r
from hearline.assist.hints.cards import read_cards, read_characters, read_spoken
from hearline.assist.hints.events import Side, as_dict, event_from_dict
from hearline.assist.hints.hint_store import HintStore, load_book
from hearline.assist.hints.rules import read_rules
from hearline.yamlfiles.checked import Rejected

REPO = Path(__file__).resolve().parents[2]
HINTS = REPO / "ivr_flows" / "hints"
GOOD = """\
waits:
  when:
    - silence: {of: caller, for: 3s}
    - hold_lasts: 2m
  card: one
  whisper: {say: ping, level: -6 dB, within: 2s}
  expiry: 8s
  not: [on_hold, {within: 20s, of: two}]
tells: {when: by_hand, card: two}
"""


def read(text: str, whispers=("ping",)):
    return read_rules(text, "r.yaml", ["one", "two"], ["says_thanks"], whispers)


def faults(text: str, whispers=("ping",)) -> list[str]:
    with pytest.raises(Rejected) as caught:
        read(text, whispers)
    return [str(fault) for fault in caught.value.faults]


def test_good_rules_are_settled():
    rules = read(GOOD).by_name
    waits = rules["waits"]
    assert [type(trigger) for trigger in waits.triggers] == [r.Silence, r.HoldLasts]
    assert (waits.triggers[0].of, waits.triggers[0].ms, waits.triggers[1].ms) == (Side.CALLER, 3_000, 120_000)
    assert (waits.expiry_ms, waits.cooldown_ms, waits.delay_ms, waits.priority) == (8_000, 30_000, 0, 50)
    assert (waits.whisper, waits.whisper_db, waits.whisper_within_ms) == ("ping", -6, 2_000)
    assert (waits.states, waits.apart) == (("on_hold",), (("two", 20_000),))
    assert waits.automatic and not rules["tells"].automatic


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("silence:", "silense:", 3, "Did you mean 'silence'"),
        ("of: caller", "of: calle", 3, "Did you mean 'caller'"),
        ("for: 3s", "for: 3", 3, "number with its unit"),
        ("for: 3s", "fur: 3s", 3, "Did you mean 'for'"),
        (", for: 3s", "", 3, "'for' is missing in 'silence'"),
        ("hold_lasts: 2m", "hold_lasts", 4, "'for' is missing"),
        ("    - hold_lasts: 2m", "    - 3", 4, "is not a trigger"),
        ("hold_lasts: 2m", "hold_every: {every: 30s, ahead: 40s}", 4, "how long before"),
        ("hold_lasts: 2m", "hold_every: 10s", 2, "no longer than `every`"),
        ("hold_lasts: 2m", "overlap: {by: agent, for: 1s, times: yes}", 4, "Write a whole number"),
        ("hold_lasts: 2m", "spoken: thanks", 4, "says_thanks"),
        ("hold_lasts: 2m", "key: low_volumes", 4, "Did you mean 'low_volume'"),
        ("card: one", "card: ones", 5, "Did you mean 'one'"),
        ("card: one", "cards: one", 5, "Did you mean 'card'"),
        ("say: ping", "say: pong", 6, "Did you mean 'ping'"),
        ("level: -6 dB", "level: -6", 6, "-6 dB, or 0 dB"),
        ("level: -6 dB", "level: 12 dB", 6, "from -20 dB to 6 dB"),
        ("within: 2s", "within: 9s", 6, "no longer than `expiry`"),
        ("expiry: 8s", "expiry: 1s", 7, "must be read"),
        ("expiry: 8s", "priority: 101", 7, "from 0 to 100"),
        ("expiry: 8s", "delay: 5m", 7, "of no use"),
        ("expiry: 8s", "until: [caller_speach]", 7, "Did you mean 'caller_speech'"),
        ("expiry: 8s", "if: {quene: care}", 7, "Did you mean 'queue'"),
        ("expiry: 8s", "if: {heard: silent3}", 7, "Did you mean 'silent"),
        ("[on_hold", "[onhold", 8, "Did you mean 'on_hold'"),
        ("of: two", "of: too", 8, "Did you mean 'two'"),
        ("of: two", "of: caller_speech", 8, "is not a moment"),
        ("{within: 20s, of: two}", "{within: 20s}", 8, "incomplete exception"),
        ("{when: by_hand, card: two}", "{when: by_hand}", 9, "Add `card: …`"),
        ("{when: by_hand, card: two}", "{card: two}", 9, "'when' is missing"),
        ("{when: by_hand, card: two}", "{when: [], card: two}", 9, "no trigger"),
        ("{when: by_hand, card: two}", "by_hand", 9, "has no words"),
        ("tells:", "Tells:", 9, "lower-case letters"),
        ("tells:", "waits:", 9, "second time"),
        ("tells: {", "tells: [{", 9, "Check indentation"),
    ],
)
def test_a_fault_names_file_line_and_remedy(old, new, line, says):
    assert old in GOOD
    found = faults(GOOD.replace(old, new))
    assert any(f.startswith(f"r.yaml:{line}: ") and says in f for f in found), found


@pytest.mark.parametrize(
    "text", ["", "words", "- a", "\t", "a: &x [*x]", "a: null", "a: {when: null}", "3: {}", "a: []"]
)
def test_nonsense_is_rejected_not_crashed_on(text):
    assert all(fault.startswith("r.yaml:") for fault in faults(text))


def test_all_faults_are_told_at_once():
    assert len(faults(GOOD.replace("for: 3s", "for: 3").replace("card: one", "card: x").replace("8s", "1s"))) == 3


def test_any_whisper_is_taken_where_none_is_known():
    assert read(GOOD.replace("ping", "pong"), None).by_name["waits"].whisper == "pong"


def test_the_rules_of_the_manual_are_taken():
    manual = (REPO / "docs" / "hints.md").read_text("utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", manual, re.M | re.S)
    assert len(blocks) == 4
    cards = {*load_book(HINTS).cards["lanzhi"].by_id, "are-you-there"}
    for block in blocks:
        if "when:" in block:
            assert read_rules(block, "hints.md", cards).by_name
        elif "phrases:" in block:
            assert read_spoken(block, "hints.md")
        else:
            assert read_cards(block, "hints.md")
    rows = set(re.findall(r"^\| `(\w+)", manual, re.M))
    assert rows >= {*r.TRIGGERS, *(f.alias or name for name, f in r.RuleWords.model_fields.items())}


# ---- the other files -------------------------------------------------------------------------------------------------
CARDS = """\
hello:
  section: "2.1"
  title: {zh: 你好, en: Hello}
  say: ["您好，{brand}", {text: 再见, for: {zh: 最后, en: at last}}]
  keys: mute
  next: bye
  sets:
    travel: {say: [欢迎]}
bye: {section: "2.2", title: {zh: 再见, en: Bye}, say: {text: 等一下, promise: 60s, needs: name}}
gaps: {title: {travel: 女士}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("{brand}", "{brant}", 4, "Did you mean 'brand'"),
        ("travel: {say", "travels: {say", 8, "Did you mean 'travel'"),
        ("en: Hello", "fr: Bonjour", 3, "'en' is missing"),
        ('section: "2.1"', "section: 2.1", 2, "Put it in quotes"),
        ('section: "2.1"', "section: hello", 2, "hello.section"),
        ("hello:", "hold:", 1, "cannot be a name"),
        ("hello:", "Hello World:", 1, "cannot be a name"),
        ('  say: ["您好，{brand}", {text: 再见, for: {zh: 最后, en: at last}}]\n', "", 1, "is empty"),
        ("keys: mute", "keys: mutter", 5, "Did you mean 'mute'"),
        ("next: bye", "next: by", 6, "no card 'by'. Did you mean 'bye'"),
        ("next: bye", "next: gaps", 6, "no card 'gaps'"),
        ("promise: 60s", "promise: 60", 9, "is no duration"),
        ("promise: 60s", "promise: 1s", 9, "it must be from 5s to 10m"),
        ("needs: name", "needs: names", 9, "Did you mean 'name'"),
        ("travel: 女士", "travels: 女士", 10, "Did you mean 'travel'"),
        ("{title: {travel", "{titel: {travel", 10, "Did you mean 'title'"),
        ("gaps: {title: {travel: 女士}}", "gaps: 女士", 10, "gaps"),
    ],
)
def test_a_fault_in_a_card(old, new, line, says):
    assert old in CARDS
    with pytest.raises(Rejected) as caught:
        read_cards(CARDS.replace(old, new), "c.yaml")
    found = [str(fault) for fault in caught.value.faults]
    assert any(f.startswith(f"c.yaml:{line}: ") and says in f for f in found), found


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("surnames: {李: [木子林]}", 1, "does not end with 李"),
        ("never: [李莲英的李]\nsurnames:\n  李: [李莲英的李]", 3, "is listed under `never`"),
        ("surnames: {李: [木子李]}\ncharacters:\n  李: [木子李]", 3, "listed twice"),
        ("surname: {}", 1, "Did you mean 'surnames'"),
        ("李", 1, "the file has no characters"),
    ],
)
def test_a_fault_in_a_character(text, line, says):
    with pytest.raises(Rejected) as caught:
        read_characters(text, "c.yaml")
    found = [str(fault) for fault in caught.value.faults]
    assert any(f.startswith(f"c.yaml:{line}: ") and says in f for f in found), found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {of: agent, phrases: []}", "a.phrases"),
        ("a: {of: nobody, phrases: [x]}", "Known: agent, caller"),
        ("joined: {of: agent, phrases: [x]}", "cannot be a name"),
    ],
)
def test_a_fault_in_a_group_of_phrases(text, says):
    with pytest.raises(Rejected, match=says):
        read_spoken(text, "s.yaml")


# ---- the folder ------------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path):
    shutil.copytree(HINTS, tmp_path / "hints")
    return tmp_path / "hints"


def _edit(file: Path, old: str, new: str) -> None:
    before, text = file.stat(), file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # however coarse the file system's clock


def test_the_shipped_hints_are_in_order():
    book = load_book(HINTS)
    cards = book.cards["lanzhi"].by_id
    assert {rule.card for rule in book.rules.by_name.values() if not rule.mark} == set(cards), "each can be called up"


def _book(store: HintStore):
    """After the watching thread has looked."""
    store.refresh()
    return store.book


def test_an_edit_counts_from_the_next_conversation_and_a_broken_one_does_not(folder, caplog):
    store = HintStore(folder)
    first = store.book
    assert _book(store) is first, "nothing is read again without need"
    _edit(folder / "rules.yaml", "silence: {of: caller, for: 3s}", "silence: {of: caller, for: 4s}")
    assert _book(store).rules.by_name["caller_silent"].triggers[0].ms == 4_000
    assert first.rules.by_name["caller_silent"].triggers[0].ms == 3_000, "a conversation goes on by what it began with"
    _edit(folder / "rules.yaml", "card: caller-silent", "card: caller-silence")
    assert _book(store).rules.by_name["caller_silent"].triggers[0].ms == 4_000, "the old ones stay"
    assert "rules.yaml:" in store.rejected and "Did you mean 'caller-silent'" in caplog.text
    _edit(folder / "rules.yaml", "card: caller-silence", "card: caller-silent")
    _edit(folder / "cards.yaml", "谢谢您的来电，再见。", "谢谢，再见。")
    assert _book(store).cards["lanzhi"].by_id["closing-inquiry"].say[1].text == "谢谢，再见。"
    assert store.rejected == ""


def test_faults_of_all_files_are_told_together(folder):
    _edit(folder / "cards.yaml", "，{brand}，", "，{brant}，")
    _edit(folder / "spoken.yaml", "of: agent", "of: agents")
    (folder / "characters.yaml").unlink()
    with pytest.raises(Rejected) as caught:
        load_book(folder)
    assert [Path(fault.file).name for fault in caught.value.faults] == ["cards.yaml", "spoken.yaml", "characters.yaml"]
    store = HintStore(folder)
    assert store.book is None and "cards.yaml:" in store.rejected
    _edit(folder / "cards.yaml", "，{brant}，", "，{brand}，")
    _edit(folder / "spoken.yaml", "of: agents", "of: agent")
    shutil.copy(HINTS / "characters.yaml", folder)
    assert _book(store) is not None and store.rejected == "", "what is mended later counts, too"


def test_a_card_that_goes_takes_its_rules_with_it(folder):
    store = HintStore(folder)
    _edit(folder / "cards.yaml", "\nthanks:", "\nthank-you:")
    assert "thanks" in _book(store).cards["lanzhi"].by_id
    assert "Did you mean 'thank-you'" in store.rejected


# ---- events as JSON --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "event",
    [
        e.Joined("care", 12.5, 2, "silent1", "8016"),
        e.SpeechStarted(Side.CALLER, 120),
        e.LevelHeard(Side.AGENT, True, -45.5, 2_000),
        e.Hold(),
        e.Unhold(),
        e.KeyPressed(e.Key.MUTE),
        e.CardUsed("thanks"),
    ],
)
def test_events_go_to_json_and_back(event):
    assert event_from_dict(json.loads(json.dumps(as_dict(event)))) == event


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"event": "speech_start"}, "Known: joined, speech_started"),
        ({"event": "speech_started"}, "needs 'side'"),
        ({"event": "speech_started", "side": "both"}, "'both' is not a valid Side"),
        ({"event": "speech_started", "side": "agent", "at": 3}, "has no field 'at'"),
        ({"event": "level_heard", "side": "agent", "too_soft": "no", "level_dbov": 3, "speech_ms": 1}, "too_soft"),
        ({"event": "level_heard", "side": "agent", "too_soft": True, "level_dbov": None, "speech_ms": 1}, "level_dbov"),
    ],
)
def test_what_is_no_event_is_told(told, says):
    with pytest.raises(ValueError, match=says):
        event_from_dict(told)
