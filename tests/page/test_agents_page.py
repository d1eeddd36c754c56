"""The agent's page as an agent has it: in a browser, by the keyboard, in both languages and themes, and when the
connection breaks."""

from __future__ import annotations

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from bench.page.floor import PIN

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
    page.wait_for_selector("#hint-title >> text=客户声音小")
    assert page.text_content(".say li span") == TOO_SOFT
    assert TOO_SOFT in said(page)
    page.wait_for_selector(".meter.speaking[data-side=caller]")
    assert "speaking" not in page.get_attribute(".meter[data-side=agent]", "class")
    keep(page, "hint")
    page.click("[data-do=used]")
    page.wait_for_selector("#hint-title:not(:text('客户声音小'))")
    page.click("[data-outcome=closing-inquiry]")
    page.wait_for_selector("#closing-says >> text=谢谢您的来电，再见。")
    page.fill("#note", "家属想了解护理床。")
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
    press("x")  # put away
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
    assert page.input_value("#note") == "1 2 3 x u"
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
            " return [e.id || e.dataset.key || e.dataset.do || e.outerHTML, s.outlineStyle, parseFloat(s.outlineWidth),"
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
    page.fill("#f-name", "李明")
    page.fill("#f-phone", "13900000000")
    assert "与您确认一下，姓名是李明，电话号码是13900000000，对吗？" in page.text_content("#hint-body")
    page.select_option("#f-title", "女士")
    page.fill("#search", "2.17")
    page.keyboard.press("Enter")
    page.wait_for_selector("#hint-body >> text=对不起，女士，这超出了我的权限范围")
    floor.hang_up("8016")
    floor.join("8016")
    becomes_true(page, "document.getElementById('f-name').value === ''")
    assert "先生/女士" in page.text_content("#phrase-list"), "nobody's title"
    stored = page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    assert "李明" not in stored and "13900000000" not in stored


def test_what_was_being_written_when_the_next_call_rings_is_not_lost(window, floor):
    page = window()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    floor.hang_up("8016")
    page.wait_for_selector("body[data-state=after]")
    page.focus("#note")
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
    page.focus("#note")
    page.keyboard.type("later")
    floor.hang_up("8016")
    floor.ring("8016")
    page.wait_for_selector("#toast >> text=未能保存，稍后重试")
    page.unroute("**/api/note")
    until(lambda: floor.desks.last_of("8016").note == "later", page, 10)


def test_a_note_written_in_one_window_is_in_the_other_unless_something_is_written_there(window, floor):
    page = window()
    floor.join("8016")
    other = page.context.new_page()
    other.goto(floor.url)
    other.wait_for_selector("body[data-state=talking]")
    page.fill("#note", "one")
    becomes_true(other, "document.getElementById('note').value === 'one'")
    other.route("**/api/note", lambda route: route.abort())
    other.fill("#note", "one, two")
    page.fill("#note", "three")
    page.wait_for_selector("#note-state >> text=已保存")
    other.wait_for_timeout(300)
    assert other.input_value("#note") == "one, two"


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
    page.fill("#f-name", "张伟")
    page.fill("#note", "first")
    page.wait_for_selector("#note-state >> text=已保存")
    floor.close()
    page.wait_for_selector("body[data-link=lost]")
    page.focus("#note")
    page.keyboard.press("End")
    page.keyboard.type("1")
    page.wait_for_selector("#note-state >> text=未能保存，稍后重试")
    floor.open()
    page.wait_for_selector("body[data-link=live]")
    page.keyboard.type("2")
    assert page.input_value("#note") == "first12" and page.input_value("#f-name") == "张伟"
    until(lambda: floor.desks.of("8016").note == "first12", page, 10)
    assert floor.desks.of("8016").playing is None, "no key was pressed"


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
