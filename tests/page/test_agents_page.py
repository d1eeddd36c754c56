"""The agents' page as an agent uses it: in a browser, with the keyboard, in both languages and themes, and when the
connection breaks."""

from __future__ import annotations

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from bench.page.floor import PIN

from hearline.assist.calls.call_note import CallNote
from hearline.assist.hints.events import Side
from hearline.store.earlier_calls import EarlierCall

STALE_S = 2.0
TOO_SOFT = "对不起，我听不清您的声音，麻烦您大声一点，好吗？"


def earlier() -> list[EarlierCall]:
    now = time.time()
    note = "问护理床租赁；已说明流程，等家属商量。"
    return [
        EarlierCall(now - 2 * 86_400, "silent2", "hangup:noinput", None, None, None, None),
        EarlierCall(now - 9 * 86_400, "normal", "queue:care", "8017", 143.2, "inquiry", note),
    ]


def said(page) -> str:
    """What a screen reader is told by itself."""
    page.wait_for_timeout(150)
    return page.text_content("#polite")


def becomes_true(page, expression: str, within_s: float = 5.0) -> None:
    """(Playwright's own way of waiting for an expression is kept out by our content security policy.)"""
    deadline = time.monotonic() + within_s
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def until(condition, page, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def note_when_lost(page) -> None:
    """From now on; by the page's own clock, which is ours: how long we take to look is not in it."""
    page.evaluate(
        "new MutationObserver(() => { if (document.body.dataset.link !== 'live') window.lostAt ??= Date.now() / 1e3; })"
        ".observe(document.body, {attributes: true, attributeFilter: ['data-link']})"
    )


def in_the_middle_of_a_call(floor, page) -> None:
    """A soft caller, a card, somebody on the line before."""
    floor.earlier = earlier()
    floor.join("8016", heard="silent2", wait_s=24.0)
    floor.hear("8016", Side.AGENT, -58.0)
    floor.speaks("8016", Side.CALLER, -34.0)
    floor.too_soft("8016")
    page.wait_for_selector(".say >> text=" + TOO_SOFT)


NOTED = {
    "title": "女士",
    "name": "李明",
    "resident": "王秀英",
    "origin": "朝阳区",
    "address": "幸福路 8 号",
    "phone": "13900000000",
    "matter": "问护理床怎么租。",
    "read_back": {"phone": True, "name": True},
}


def a_known_caller(floor) -> None:
    """Third call within some days; an earlier note says who it is."""
    now = time.time()
    kept = CallNote().changed(NOTED | {"matter": "要回电。", "agreed": True}).as_text()
    floor.earlier = [
        EarlierCall(now - 3_600, "normal", "queue:care", "8017", 61.0, "inquiry", kept),
        EarlierCall(now - 86_400, "silent2", "hangup:noinput", None, None, None, None),
    ]


def talk_grows_long(floor, agent: str) -> None:
    """As if ten minutes had passed."""
    talk = floor.states.of(agent).talk
    for runner in talk.runners.values():
        runner._engine.clock_marked = True
    floor.do(floor.states.see, talk)


def composes(page, text: str) -> None:
    """An input method shows these letters where the focus is, and has not decided on characters yet."""
    page.context.new_cdp_session(page).send(
        "Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)}
    )


def presses(page, key: str, code: int) -> None:
    """A key as a keyboard sends it; while an input method has it, browsers tell the key code 229."""
    cdp = page.context.new_cdp_session(page)
    for kind in ("rawKeyDown", "keyUp"):
        cdp.send("Input.dispatchKeyEvent", {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code})


# ---- a whole call ----------------------------------------------------------------------------------------------------
def test_a_call_from_the_first_ring_to_the_note(window, floor, keep):
    page = window()
    keep(page, "idle")
    floor.earlier = earlier()
    floor.ring("8016", heard="silent2", wait_s=24.0)
    page.wait_for_selector("body[data-state=ringing]")
    assert page.text_content("#number") == "138****5678"
    assert page.text_content("#queue") == "养老热线"
    assert page.text_content("#heard") == "无声两次"
    assert page.text_content("#earlier-title") == "以前来电 2 次"
    assert page.title().startswith("来电")
    assert "138****5678" in said(page)
    keep(page, "ringing")
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    floor.hear("8016", Side.AGENT, -58.0)
    floor.speaks("8016", Side.CALLER, -36.0)
    floor.too_soft("8016")
    page.wait_for_selector("#hint-title >> text=客户声音太小")
    assert page.text_content(".say li span") == TOO_SOFT
    assert TOO_SOFT in said(page)
    page.wait_for_selector(".meter.speaking[data-side=caller]")
    assert "speaking" not in page.get_attribute(".meter[data-side=agent]", "class")
    keep(page, "hint")
    page.click("[data-do=used]")
    page.wait_for_selector("#hint-title:not(:text('客户声音太小'))")
    page.click("[data-outcome=closing-inquiry]")
    page.wait_for_selector("#closing-says >> text=请问还有其它需要帮助的吗？ → 谢谢您的来电，再见。")
    page.fill("#n-matter", "家属想了解护理床。")
    floor.hang_up("8016")
    page.wait_for_selector("body[data-state=after]")
    page.wait_for_selector("#note-state >> text=已保存")
    keep(page, "after", full_page=True)
    page.click("[data-do=done]")
    page.wait_for_selector("body[data-state=idle]")
    assert floor.kept[-1] == ("8016", "after", "inquiry", "家属想了解护理床。")
    assert page.is_hidden("#call")


def test_by_the_keyboard_alone(window, floor):
    """From signing in to the last button without a mouse (WCAG 2.1.1)."""
    page = window()
    press, typed = page.keyboard.press, page.keyboard.type
    floor.join("8016", wait_s=3.0)
    page.wait_for_selector("#hint-title >> text=接听")
    press("x")  # dismiss it
    page.wait_for_selector("#hint.empty")
    press("/")
    typed("mfnsd")
    page.wait_for_selector("#search-found >> text=1 条")
    press("Enter")  # called up, and we are at the card
    page.wait_for_selector("#hint-title >> text=请客户等候")
    assert page.evaluate("document.activeElement.id") == "hint"
    press("c")
    typed("李")
    page.wait_for_selector("#character-list >> text=请问您是李世民的李吗？")
    press("Escape")
    press("4")
    page.wait_for_selector("[data-key=mute][aria-pressed=true]")
    press("5")
    page.wait_for_selector("[data-key=nuisance] >> text=再按一次确认")
    press("5")
    page.wait_for_selector(".toast >> text=骚扰电话")
    press("o")
    press("Enter")
    page.wait_for_selector("[data-outcome=closing-inquiry][aria-pressed=true]")
    assert page.evaluate("document.activeElement.dataset.outcome") == "closing-inquiry", "the focus stays"
    press("n")
    typed("1 2 3 x u")  # letters, not shortcuts
    press("Escape")
    assert page.input_value("#n-matter") == "1 2 3 x u"
    floor.hang_up("8016")
    page.wait_for_selector("body[data-state=after]")
    press("d")
    page.wait_for_selector("body[data-state=idle]")
    press("?")
    page.wait_for_selector("#help[open]")
    press("Escape")
    page.wait_for_selector("#help:not([open])", state="attached")


def test_everything_that_can_be_used_is_reached_by_tab_and_is_seen_to_be(window, floor):
    page = window()
    in_the_middle_of_a_call(floor, page)
    wanted = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select, summary')]"
        ".filter(e => e.checkVisibility()).length"
    )
    page.evaluate("document.activeElement.blur()")
    seen = set()
    for _ in range(wanted + 10):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();"
            " return [e.id || e.outerHTML, s.outlineStyle, parseFloat(s.outlineWidth),"
            " r.width, r.height, e.tagName]; })()"
        )
        if found[5] == "BODY":
            continue
        seen.add(found[0])
        assert found[1] == "solid" and found[2] >= 2, f"no visible focus on {found[0]}"
    assert len(seen) >= wanted


def test_shortcuts_can_be_switched_off_for_good(window, floor):
    """WCAG 2.1.4."""
    page = window()
    floor.join("8016", wait_s=3.0)
    page.wait_for_selector("#hint-title >> text=接听")
    page.uncheck("#shortcuts")
    page.focus("#hint")
    page.keyboard.press("x")
    page.keyboard.press("4")
    page.wait_for_timeout(300)
    assert page.text_content("#hint-title") == "接听"
    assert page.get_attribute("[data-key=mute]", "aria-pressed") == "false"
    page.reload()
    page.wait_for_selector("body[data-link=live]")
    assert not page.is_checked("#shortcuts")


def test_a_shortcut_with_a_modifier_is_the_browsers(window, floor):
    page = window()
    floor.join("8016", wait_s=3.0)
    page.wait_for_selector("#hint-title >> text=接听")
    for key in ("Control+x", "Alt+x", "Meta+x"):
        page.keyboard.press(key)
    page.wait_for_timeout(200)
    assert page.text_content("#hint-title") == "接听"


# ---- phrases, fields, characters -------------------------------------------------------------------------------------
def test_what_is_typed_of_the_caller_fills_the_phrases_and_goes_with_the_call(window, floor):
    page = window()
    floor.join("8016")
    page.fill("#search", "2.15")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hint-title >> text=询问资料")
    assert "〔姓名〕" in page.text_content("#hint-body")
    page.fill("#n-name", "李明")
    page.fill("#n-phone", "13900000000")
    assert "与您确认一下，姓名是李明，电话号码是13900000000，对吗？" in page.text_content("#hint-body")
    page.select_option("#n-title", "女士")
    page.fill("#search", "2.17")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hint-body >> text=对不起，女士，这超出了我的权限范围")
    floor.hang_up("8016")
    floor.join("8016")
    becomes_true(page, "document.getElementById('n-name').value === ''")
    assert "先生/小姐" in page.text_content("#phrase-list"), "nobody's title"
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "李明" not in stored and "13900000000" not in stored


def test_keys_of_an_input_method_are_no_commands(window, floor):
    """Escape takes back what is being composed: a focus that moved to the card would turn the next letters into keys
    that the caller hears. As Chromium sends them (composing), and as Safari does (229, composing no more)."""
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    for field in ("n-matter", "n-name", "search", "character"):
        page.focus(f"#{field}")
        composes(page, "lao")
        presses(page, "Escape", 229)
        composes(page, "lao ren")
        presses(page, "Escape", 27)  # composing, and told only so
        assert page.evaluate("document.activeElement.id") == field
        page.keyboard.insert_text("老人")
        assert page.input_value(f"#{field}").endswith("老人")
        presses(page, "Escape", 229)
        assert page.evaluate("document.activeElement.id") == field
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "hint", "a plain one leaves the field"
    for key in "123456":
        presses(page, key, 229)
    page.wait_for_timeout(200)
    assert page.get_attribute("#keys [data-key=mute]", "aria-pressed") == "false"
    assert floor.states.of("8016").talk.events[-1]["event"] != "key"


def test_enter_that_ends_a_composition_calls_up_no_card(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("#hint-title >> text=接听")
    page.focus("#search")
    composes(page, "touSu")
    page.wait_for_timeout(300)
    assert page.text_content("#search-found") == "", "half a word is not looked for"
    presses(page, "Enter", 229)
    page.keyboard.insert_text("投诉六步")
    presses(page, "Enter", 229)
    page.wait_for_selector("#search-found >> text=1 条")
    assert page.text_content("#hint-title") == "接听"
    page.keyboard.press("Enter")
    page.wait_for_selector("#hint-title >> text=投诉六步")


def test_the_note_is_fields_that_a_colleague_has_too(window, floor, keep):
    page, colleague = window(), window(agent="8017")
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    page.select_option("#n-title", "女士")
    for name in ("name", "phone", "resident", "origin", "address", "matter"):
        page.fill(f"#n-{name}", NOTED[name])
    page.check("[data-tick=phone]")
    page.check("[data-tick=name]")
    page.wait_for_selector("#note-state >> text=客户未同意保留")
    page.check("#agreed")
    page.wait_for_selector("#note-state >> text='已保存'")
    note = floor.states.of("8016").note
    assert note == CallNote().changed(NOTED | {"agreed": True})
    keep(page, "note", full_page=True)
    page.focus("#n-phone")
    page.keyboard.press("End")
    page.keyboard.type("1")
    assert not page.is_checked("[data-tick=phone]"), "this one was not read back"
    until(lambda: floor.states.of("8016").note.read_back == {"name"}, page, 5)
    floor.pass_on("8016", "8017")
    colleague.wait_for_selector("#noted >> text=李明 女士 ✓ 已复述")
    floor.join("8017")
    colleague.wait_for_selector("body[data-state=talking]")
    assert colleague.input_value("#n-resident") == "王秀英" and colleague.is_checked("[data-tick=name]")
    colleague.fill("#n-matter", "换一张护理床。")
    until(lambda: page.input_value("#n-matter") == "换一张护理床。", page, 5)
    assert page.input_value("#n-name") == "李明"


def test_saved_is_said_when_it_is_kept_and_not_before(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    floor.keeps = False  # the database is locked
    page.fill("#n-matter", "问护理床")
    page.wait_for_selector("#note-state >> text=未能保存，稍后重试")
    assert floor.kept == [] or floor.kept[-1][3] != "问护理床"
    floor.keeps = True
    page.wait_for_selector("#note-state >> text='已保存'", timeout=8_000)
    assert floor.kept[-1][3] == "问护理床"


def test_a_caller_who_is_known_is_seen_before_it_is_answered_and_greeted_by_name(window, floor):
    page = window()
    a_known_caller(floor)
    floor.ring("8016", phrases="travel")
    page.wait_for_selector("#known >> text=以前来电时的称呼：李明 女士")
    assert page.text_content("#lately") == "近 7 天内第 3 次来电"
    floor.join("8016")
    page.wait_for_selector(".say >> text=您好，请问是李明女士吗？请问您这次需要什么服务？")
    floor.hang_up("8016")
    page.click("[data-do=done]")
    floor.earlier = []
    floor.join("8016")
    page.wait_for_selector("#hint-title >> text=接听")
    assert page.locator(".say li").count() == 1, "who is not known is not greeted by name"
    assert page.text_content("#lately") == page.text_content("#known") == ""


def test_before_a_hold_the_length_is_promised_and_the_clock_counts_down_to_it(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    page.keyboard.press("6")
    page.wait_for_selector("#hint-title >> text=请客户等候")
    assert "〔原因〕，您可以稍等一会儿吗？" in page.text_content("#hint-body")
    page.keyboard.press("h")
    page.keyboard.press("Tab")  # the first length, without a mouse
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-promise='60000'][aria-pressed=true]")
    assert page.evaluate("document.activeElement.dataset.promise") == "60000", "the focus stays"
    floor.hold("8016")
    page.wait_for_selector("#hold-now >> text=答应的时间还剩 0:5")
    assert "秒内回应客户" in page.text_content("#hold-now"), "and every 30 s"
    floor.hold("8016", None)
    floor.hold("8016")
    page.wait_for_selector("#hold-now")
    assert "答应" not in page.text_content("#hold-now"), "a promise is for one hold"


def test_a_key_of_the_cards_own_is_the_same_as_the_key(window, floor):
    page = window()
    floor.join("8016")
    page.fill("#search", "2.12")
    page.keyboard.press("Enter")
    page.click("#card-acts [data-key=callback]")
    page.wait_for_selector("#card-acts [data-key=callback][aria-pressed=true]")
    page.wait_for_selector("#keys [data-key=callback][aria-pressed=true]")
    page.keyboard.press("6")
    page.click("#card-acts >> text=暂时不能答复")
    page.wait_for_selector("#hint-section >> text=2.14")
    page.fill("#search", "1.4")
    page.keyboard.press("Enter")
    page.click("#card-acts [data-key=nuisance]")
    page.wait_for_selector("#card-acts [data-key=nuisance] >> text=再按一次确认")


def test_the_wait_of_this_stay_stands_alone_and_that_since_the_first_queue_beside_it(window, floor):
    page = window()
    floor.ring("8016", wait_s=12.0)
    page.wait_for_selector("#wait >> text=12 秒")
    assert page.locator("#whole-wait").is_hidden()
    assert page.inner_text("#call-id") == floor.states.of("8016").caller.id
    floor.stop_ringing("8016")
    floor.ring("8016", wait_s=12.0, came_s=310.0)
    page.wait_for_selector("#whole-wait >> text=5:1")


def test_a_supervisor_is_called_in_and_comes(window, floor):
    floor.be_supervisor("8017")
    page = window()
    floor.join("8016")
    page.wait_for_selector("#keys [data-key=supervisor]:visible")
    page.keyboard.press("7")
    page.wait_for_selector(".toast >> text=没有主管在线。")
    supervisor = window(agent="8017", locale="en-GB")
    until(lambda: page.evaluate("true") and floor.interface.supervisor_there("8016"), page, 5)
    page.wait_for_timeout(400)
    page.keyboard.press("7")
    page.wait_for_selector("#keys [data-key=supervisor] >> text=已通知主管，再按取消")
    supervisor.wait_for_selector("#help-list >> text=Agent 8016 asks for a supervisor")
    becomes_true(supervisor, "document.getElementById('urgent').textContent.includes('8016')")
    supervisor.focus("#help-list button")
    supervisor.keyboard.press("Enter")
    page.wait_for_selector("#keys [data-key=supervisor] >> text=主管 8017 马上来")
    supervisor.wait_for_selector("#help-list >> text=8017 is coming")
    assert supervisor.evaluate("document.activeElement.id") == "hint", "the button has gone, the focus has not"
    page.keyboard.press("7")
    supervisor.wait_for_selector("#helps", state="hidden")


def test_the_list_has_the_words_of_the_set_that_greeted_the_caller(window, floor):
    page = window()
    page.wait_for_selector("#phrase-list >> text=先生/小姐，请问您是否可以听清我的说话呢？")
    floor.ring("8016", phrases="travel")
    page.wait_for_selector("#phrase-list >> text=请问有什么可以帮助您的吗？")
    page.wait_for_selector("#phrase-list >> text=先生/女士，请问您是否可以听清我的说话呢？")


def test_where_there_is_no_supervisor_there_is_no_key(window, floor):
    page = window()
    floor.join("8016")
    page.fill("#search", "2.18")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hint-section >> text=2.18")
    assert page.locator("[data-key=supervisor]:visible").count() == 0


def test_a_long_talk_has_a_quiet_mark_at_its_clock(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    assert page.is_hidden("#long")
    talk_grows_long(floor, "8016")
    page.wait_for_selector("#long >> text=通话较长")
    assert "通话较长" not in said(page) + page.text_content("#urgent"), "nobody is told of it aloud"
    floor.hang_up("8016")
    page.wait_for_selector("#long", state="hidden")


def test_what_was_being_written_when_the_next_call_rings_is_not_lost(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    floor.hang_up("8016")
    page.wait_for_selector("body[data-state=after]")
    page.focus("#n-matter")
    page.keyboard.type("x" * 30)
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    page.wait_for_timeout(300)
    assert floor.kept[-1] == ("8016", "after", None, "x" * 30)
    assert page.evaluate("document.activeElement.id") == "hint", "the focus is not lost"


def test_a_note_that_cannot_be_sent_when_the_next_call_rings_is_sent_later(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    page.route("**/api/note", lambda route: route.abort())
    page.focus("#n-matter")
    page.keyboard.type("later")
    floor.hang_up("8016")
    floor.ring("8016")
    page.wait_for_selector("#toast >> text=未能保存，稍后重试")
    page.unroute("**/api/note")
    until(lambda: getattr(floor.states.last_of("8016").note, "matter", "") == "later", page, 10)


def test_a_note_written_in_one_window_is_in_the_other_unless_something_is_written_there(window, floor):
    page = window()
    floor.join("8016")
    other = page.context.new_page()
    other.goto(floor.url)
    other.wait_for_selector("body[data-state=talking]")
    page.fill("#n-matter", "one")
    becomes_true(other, "document.getElementById('n-matter').value === 'one'")
    other.route("**/api/note", lambda route: route.abort())
    other.fill("#n-matter", "one, two")
    page.fill("#n-matter", "three")
    page.wait_for_selector("#note-state >> text=已保存")
    other.wait_for_timeout(300)
    assert other.input_value("#n-matter") == "one, two"


def test_a_key_that_waits_to_be_pressed_again_waits_in_this_call_only(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    page.keyboard.press("5")
    page.wait_for_selector("[data-key=nuisance] >> text=再按一次确认")
    floor.hang_up("8016")
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    assert "再按一次确认" not in page.text_content("[data-key=nuisance]")
    pressed = []
    page.on("request", lambda request: pressed.append(request.url) if request.url.endswith("/press") else None)
    page.keyboard.press("5")
    page.wait_for_selector("[data-key=nuisance] >> text=再按一次确认")
    assert pressed == []


def test_who_cannot_be_signed_out_is_told_and_sees_that_they_are_not(window):
    page = window()
    page.context.set_offline(True)
    page.click("header [data-do=sign-out]")
    page.wait_for_selector("#toast >> text=连接不上服务器。")
    assert page.is_visible("#desk")


def test_phrases_can_be_read_between_calls(window, floor):
    page = window()
    page.click("#phrase-list >> text=投诉六步")
    page.wait_for_selector("#hint-title >> text=投诉六步")
    assert page.locator("#hint-body .do li").count() == 6
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    assert page.text_content("#hint-title") == "来电", "a call takes its place"


def test_whisper_volume(window, floor):
    page = window()
    page.focus("#volume")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    becomes_true(page, "document.getElementById('volume-db').textContent === '−3 dB'")
    page.wait_for_timeout(200)
    page.reload()
    page.wait_for_selector("#volume-db >> text='−3 dB'")
    page.focus("#volume")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)


def test_the_hold_clock(window, floor, keep):
    page = window()
    floor.join("8016")
    floor.hold("8016")
    page.wait_for_selector("#hold-now >> text=通话保持中 0:01")
    assert "29 秒内" in page.text_content("#hold-now")
    keep(page, "hold")
    floor.hold("8016", None)
    page.wait_for_selector("#hold-now", state="hidden")
    assert page.text_content("#hold-counts").startswith("保持 1 次")


# ---- when the connection breaks --------------------------------------------------------------------------------------
def test_a_lost_connection_greys_the_call_within_two_seconds_and_comes_back(window, floor, keep):
    page = window()
    in_the_middle_of_a_call(floor, page)
    note_when_lost(page)
    began = time.time()
    floor.close()
    page.wait_for_selector("body[data-link=lost]")
    assert page.evaluate("window.lostAt") - began < STALE_S
    assert re.search(r"\d\d:\d\d:\d\d 起连接中断", page.text_content("#banner"))
    becomes_true(page, "document.getElementById('urgent').textContent.includes('连接中断')")
    assert page.get_attribute("[data-key=low_volume]", "aria-disabled") == "true"
    frozen = page.text_content("#state")
    keep(page, "connection-lost")
    page.wait_for_timeout(1_300)
    assert page.text_content("#state") == frozen, "its clock stands still"
    floor.hang_up("8016")  # meanwhile
    floor.open()
    page.wait_for_selector("body[data-link=live][data-state=after]")
    assert page.is_hidden("#banner")


def test_who_writes_while_the_connection_breaks_goes_on_writing(window, floor):
    """A key that lands on the page instead is one that the caller hears."""
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    page.fill("#n-name", "张伟")
    page.fill("#n-matter", "first")
    page.wait_for_selector("#note-state >> text=已保存")
    floor.close()
    page.wait_for_selector("body[data-link=lost]")
    page.focus("#n-matter")
    page.keyboard.press("End")
    page.keyboard.type("1")
    page.wait_for_selector("#note-state >> text=未能保存，稍后重试")
    floor.open()
    page.wait_for_selector("body[data-link=live]")
    page.keyboard.type("2")
    assert page.input_value("#n-matter") == "first12" and page.input_value("#n-name") == "张伟"
    until(lambda: floor.states.of("8016").note.matter == "first12", page, 10)
    assert floor.states.of("8016").playing is None, "no key was pressed"


def test_a_server_that_hangs_is_noticed_within_two_seconds(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    note_when_lost(page)
    began = time.time()
    floor.hang(3.0)
    page.wait_for_selector("body[data-link=lost]")
    assert page.evaluate("window.lostAt") - began < STALE_S
    page.wait_for_selector("body[data-link=live]", timeout=8_000)
    assert page.text_content("#number") == "138****5678"


def test_a_lost_telephone_system_is_shown_as_that(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    note_when_lost(page)
    began = time.time()
    floor.asterisk_up = False
    page.wait_for_selector("body[data-link=asterisk]")
    assert page.evaluate("window.lostAt") - began < STALE_S
    assert "与电话系统的连接中断" in page.text_content("#banner")
    assert page.get_attribute("[data-key=mute]", "aria-disabled") == "true"
    floor.asterisk_up = True
    page.wait_for_selector("body[data-link=live]")


def test_who_is_signed_out_elsewhere_comes_to_the_sign_in(window, floor):
    page = window()
    floor.accounts.set_pin("8016", PIN)
    page.wait_for_selector("#sign-in:not([hidden])", timeout=6_000)
    assert page.text_content("#sign-in-fault") == "请重新登录。"


def test_signing_in_with_a_wrong_pin_says_so(window, floor, keep):
    page = window(signed_in=False)
    keep(page, "sign-in")
    page.fill("#agent", "8017")
    page.fill("#pin", "000000")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sign-in-fault >> text=工号或 PIN 不对。")
    page.fill("#pin", PIN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#me >> text=工号 8017")
    page.click("header [data-do=sign-out]")
    page.wait_for_selector("#agent:visible")


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_what_is_wrong_keeps_off_the_button(window, keep, locale):
    page = window(signed_in=False, locale=locale)
    page.fill("#agent", "8017")
    page.fill("#pin", "000000")
    page.keyboard.press("Enter")
    page.wait_for_selector("#sign-in-fault:not(:empty)")
    fault, button = (page.locator(part).bounding_box() for part in ("#sign-in-fault", "#sign-in .strong"))
    assert button["y"] - fault["y"] - fault["height"] >= 8
    keep(page, f"wrong-pin-{locale[:2]}")


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_an_empty_card_is_as_small_as_its_text_and_has_a_ring_only_by_the_keyboard(window, floor, keep, locale):
    page = window(locale=locale)  # signed in by the keyboard
    assert page.evaluate("document.activeElement.id") == "hint" and ring(page) == "none"
    keep(page, f"empty-{locale[:2]}")
    assert page.locator("#hint").bounding_box()["height"] < 120
    page.keyboard.press("h")
    assert ring(page) == "solid"
    page.focus("#search")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "hint" and ring(page) == "solid"
    in_the_middle_of_a_call(floor, page)
    floor.hang_up("8016")
    page.wait_for_selector("body[data-state=after] .hint.empty")
    keep(page, f"after-{locale[:2]}", full_page=True)
    assert page.locator("#hint").bounding_box()["height"] < 120


def ring(page) -> str:
    return page.evaluate("getComputedStyle(document.getElementById('hint')).outlineStyle")


def test_chinese_is_set_in_a_chinese_font(window):
    """Whatever the page's language. Else the punctuation may come from a font for another language."""
    for locale in ("zh-CN", "en-GB"):
        page = window(locale=locale)
        family = "getComputedStyle(document.querySelector({!r})).fontFamily"
        assert page.evaluate(family.format("#closing-says")).startswith('"Noto Sans CJK SC"')
        label = page.evaluate(family.format("label[for=n-resident]"))
        assert label.startswith('"Noto Sans CJK SC"' if locale == "zh-CN" else "system-ui")


@pytest.mark.parametrize(("locale", "says"), [("zh-CN", "它的地址是"), ("en-GB", "its address is")])
def test_behind_a_proxy_that_hides_the_address_the_form_says_what_is_wrong(window, floor, keep, locale, says):
    """As an old browser behind a proxy that passes on neither its name nor its port."""
    page = window(signed_in=False, locale=locale)
    ours = floor.url.rstrip("/")

    def proxied(route) -> None:
        told = {"Content-Type": "application/json", "Origin": ours, "X-Forwarded-Proto": "https"}
        route.fulfill(response=route.fetch(headers=told))

    page.route("**/api/sign-in", proxied)
    page.fill("#agent", "8017")
    page.fill("#pin", PIN)
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#sign-in-fault >> text={says}")
    told = page.text_content("#sign-in-fault")
    assert f"{ours}" in told and ours.replace("http:", "https:") in told and "X-Forwarded-Proto" in told
    keep(page, f"elsewhere-{locale}")


def test_signing_out_in_one_window_is_signing_out_in_all(window, floor):
    page = window()
    other = page.context.new_page()
    other.goto(floor.url)
    other.wait_for_selector("#me >> text=工号 8016")
    page.click("header [data-do=sign-out]")
    other.wait_for_selector("#sign-in:not([hidden])")
    assert other.text_content("#sign-in-fault") == "请重新登录。"


# ---- to be read by everybody -----------------------------------------------------------------------------------------
def keeps_nobody_out(page, state: str) -> None:
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]})
    assert found.violations_count == 0, f"{state}: {found.generate_report()}"


def test_nothing_that_axe_finds_wrong_where_one_signs_in_and_in_the_list_of_keys(window):
    page = window(signed_in=False)
    keeps_nobody_out(page, "signing in")
    page = window()
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    keeps_nobody_out(page, "the list of keys")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_nothing_that_axe_finds_wrong(window, floor, keep, theme, locale):
    """Contrast (1.4.3), labels, roles, landmarks, target sizes (2.5.8): in each state, language and theme."""
    page = window(locale=locale, color_scheme=theme)
    states = {"idle": lambda: None, "ringing": lambda: floor.ring("8016"), "talking": lambda: None, "lost": floor.close}
    try:
        for state, happens in states.items():
            if state == "talking":
                floor.whispers_allowed = False  # a line more
                in_the_middle_of_a_call(floor, page)
            else:
                happens()
            page.wait_for_selector("body[data-link=lost]" if state == "lost" else f"body[data-state={state}]")
            page.wait_for_timeout(200)
            keep(page, f"{state}-{theme}-{locale[:2]}")
            keeps_nobody_out(page, state)
    finally:
        if floor.closed:
            floor.open()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_nothing_that_axe_finds_wrong_in_what_a_call_may_bring(window, floor, keep, theme, locale):
    """A call that was passed on; a card with a wait to promise; a hold; the note; a supervisor's page."""
    floor.be_supervisor("8017")
    supervisor = window(locale=locale, color_scheme=theme, agent="8017")
    page = window(locale=locale, color_scheme=theme)
    a_known_caller(floor)
    floor.ring("8016")
    floor.do(floor.states.write_note, floor.states.of("8016"), NOTED)
    page.wait_for_selector("#noted:not([hidden])")
    keep(page, f"ringing-known-{theme}-{locale[:2]}")
    keeps_nobody_out(page, "ringing")
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    talk_grows_long(floor, "8016")
    page.keyboard.press("6")
    page.wait_for_selector("[data-promise]")
    page.click("[data-promise='180000']")
    page.wait_for_selector("[data-promise='180000'][aria-pressed=true]")
    page.keyboard.press("7")
    supervisor.wait_for_selector("[data-coming='8016']")
    keep(supervisor, f"supervisor-{theme}-{locale[:2]}")
    keeps_nobody_out(supervisor, "a supervisor is asked for")
    page.wait_for_selector("[data-key=supervisor][aria-pressed=true]")
    keep(page, f"before-hold-{theme}-{locale[:2]}", full_page=True)
    keeps_nobody_out(page, "before a hold")
    floor.hold("8016")
    page.wait_for_selector("#hold-now")
    page.evaluate("document.querySelector('#earlier').open = true")
    keep(page, f"hold-promised-{theme}-{locale[:2]}", full_page=True)
    keeps_nobody_out(page, "a hold")
    floor.hold("8016", None)
    page.fill("#search", "2.25")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    page.wait_for_selector("#hint-section >> text=2.25")
    keep(page, f"complaint-{theme}-{locale[:2]}", full_page=True)
    keeps_nobody_out(page, "a complaint")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_the_systems_until_another_is_chosen(window, theme):
    page = window(color_scheme=theme)
    ground = "getComputedStyle(document.body).backgroundColor"
    system = page.evaluate(ground)
    for _ in ("light", "dark"):
        page.click("header [data-do=theme]")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert (page.evaluate(ground) == system) == (theme == "dark")
    page.reload()
    page.wait_for_selector("html[data-theme=dark]")


def test_the_language_is_changed_at_once_and_remembered(window, floor):
    page = window()
    in_the_middle_of_a_call(floor, page)
    page.click("header [data-do=language]")
    assert page.get_attribute("html", "lang") == "en"
    assert page.text_content("#hint-title") == "The caller is too soft"
    assert page.text_content("#heard") == "silence, twice"
    assert page.text_content(".say li span") == TOO_SOFT, "what callers hear stays Chinese"
    assert page.get_attribute(".say", "lang") == "zh-CN"
    page.reload()
    page.wait_for_selector("#hint-title >> text=The caller is too soft")
    left = page.evaluate("document.body.innerText.match(/[\\u4e00-\\u9fff]+/g)")
    assert page.locator("[data-t]:visible", has_text=re.compile("[\u4e00-\u9fff]")).count() == 0, left


@pytest.mark.parametrize(
    ("width", "height"), [(640, 450), (320, 256)], ids=["200 % of 1280 × 900", "400 %: 320 CSS px"]
)
def test_large_text_needs_no_scrolling_sideways(window, floor, keep, width, height):
    """WCAG 1.4.4 and 1.4.10: a zoom is a smaller window with larger pixels."""
    page = window(locale="en-GB", width=width, height=height, device_scale_factor=2)
    in_the_middle_of_a_call(floor, page)
    floor.hold("8016")
    floor.whispers_allowed = False
    page.wait_for_selector("#hold-now")
    page.wait_for_selector("#no-whispers:not(:empty)")
    page.evaluate("document.querySelector('#earlier').open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        "[...document.querySelectorAll('button, h1, h2, p, dd, li, label')].filter(e => e.checkVisibility()"
        " && !e.closest('.unseen') && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 90))"
    )
    assert cut == []
    keep(page, f"zoomed-{width}", full_page=True)


def test_who_wants_no_motion_has_none(window, floor):
    page = window(reduced_motion="reduce")
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    assert page.evaluate("getComputedStyle(document.querySelector('.bar i')).transitionDuration") == "0s"


def test_meters_are_told_in_words_and_read_out_by_nobody_unasked(window, floor):
    page = window(locale="en-GB")
    floor.join("8016")
    floor.speaks("8016", Side.CALLER, -24.0)
    bar = page.locator(".meter[data-side=caller] [role=meter]")
    page.wait_for_selector(".meter.speaking[data-side=caller]")
    assert bar.get_attribute("aria-valuetext") == "Caller: speaking, -24 dBov"
    assert bar.get_attribute("aria-valuenow") == "-24"
    assert (
        page.evaluate("document.querySelector('#meters').closest('[aria-live], [role=status], [role=alert]')") is None
    )
