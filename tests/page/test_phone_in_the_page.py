"""The phone in the agent's page, by keyboard, with a line of the test's own (fake_line.js). Real calls: tests/live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.page.floor import Floor
from playwright.sync_api import Page, expect
from tests.page.test_agents_page import becomes_true, keeps_nobody_out, said

FAKE_LINE = (Path(__file__).parent / "fake_line.js").read_text("utf-8")
ACCOUNT = {"user": "web-8016", "password": "not-a-real-one", "uri": "sip:web-8016@hearline", "ice": []}
WANTED = "localStorage.setItem('phone-in-page', 'on');"
# What the browser would ask, and what it was told.
NOTICES = """
    window.notices = [];
    window.Notification = class { static permission = 'granted'; static asked = 0;
        static async requestPermission() { Notification.asked++; }
        constructor(title, {body}) { notices.push([title, body]); }
        close() { notices.push('closed'); } };
"""


PHONE: dict[str, object] = {}
"""The server's side of it."""


@pytest.fixture(scope="module")
def shared_floor(tmp_path_factory):
    with Floor(tmp_path_factory.mktemp("floor")) as floor:
        floor.interface.snapshots.phone = lambda _agent: dict(PHONE) or None
        yield floor


@pytest.fixture
def phone():
    """The server's side of the phone, which the test may change: offered, registered, not paused."""
    PHONE.clear()
    PHONE.update(registered=True, paused="")
    return PHONE


@pytest.fixture(scope="module")
def signed_in(shared_window):
    """What a browser keeps of an agent who has signed in."""
    return shared_window().context.storage_state()


@pytest.fixture
def desk(phone, signed_in, window, floor):
    """Opens the page with its phone: ``desk(standing=…, locale=…, script=…)``."""

    def open_(standing: str = "ready", script: str = WANTED, **how) -> Page:
        page = window(script=NOTICES + script, signed_in=None, storage_state=signed_in, **how)
        return enter(page, floor.url, standing)

    return open_


def enter(page: Page, url: str, standing: str = "ready") -> Page:
    """Load the page, with a line of our own."""
    page.route("**/static/phone/line.js", lambda route: route.fulfill(body=FAKE_LINE, content_type="text/javascript"))
    page.route("**/api/phone", lambda route: route.fulfill(json=ACCOUNT))
    return again(page, url, standing)


def again(page: Page, url: str = "", standing: str = "ready") -> Page:
    """Load the page anew, and wait until its phone is ready or stands as ``standing`` says."""
    page.goto(url) if url else page.reload()
    page.wait_for_selector("body[data-link=live]")
    page.wait_for_selector(f"#tel[data-standing={standing}]", state="attached")
    return page


def keys(page: Page, *pressed: str) -> None:
    """Type texts, and press keys that have names."""
    for key in pressed:
        (page.keyboard.press if key in ("Tab", "Enter") else page.keyboard.type)(key)


def line(page: Page, does: str):
    """Play on the line: ``line(page, "rings()")``."""
    return page.evaluate(f"line.{does}")


def in_a_talk(page: Page) -> None:
    line(page, "rings()")
    page.keyboard.press("a")
    expect(page.locator("[data-tel=end]")).to_be_visible()


def shown(page: Page) -> list[str]:
    """The buttons of the phone."""
    return page.evaluate(
        "[...document.querySelectorAll('#tel [data-tel]')]"
        ".filter((one) => one.checkVisibility()).map((one) => one.dataset.tel)"
    )


# ---- whether there is one --------------------------------------------------------------------------------------------
def test_there_is_no_phone_where_the_server_offers_none(desk, phone):
    phone.clear()
    page = desk("off")
    expect(page.locator("#tel")).to_be_hidden()
    expect(page.locator("#tel-choice")).to_be_hidden()
    page.keyboard.press("?")
    assert "接听；" not in page.text_content("#help-keys")


def test_an_agent_chooses_it_once(desk):
    page = desk("off", script="")
    expect(page.locator("#tel")).to_be_hidden()
    assert page.evaluate("typeof line") == "undefined"
    assert page.evaluate("Notification.asked") == 0
    page.focus("#tel-on")
    page.keyboard.press("Space")
    expect(page.locator("#tel-state")).to_have_text("可以接听")
    assert page.evaluate("line.account") == ACCOUNT
    again(page)
    expect(page.locator("#tel-state")).to_have_text("可以接听")
    assert "not-a-real-one" not in page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    page.focus("#tel-on")
    with page.expect_request("**/api/phone") as asked:  # the queues are not to pause for a phone that was given up
        page.keyboard.press("Space")
    assert asked.value.post_data_json == {"over": True}
    expect(page.locator("#tel")).to_be_hidden()
    assert page.evaluate("line.link") == "off"


def test_leave_to_notify_is_asked_for_in_a_click(desk):
    page = desk(
        "off", script="document.addEventListener('DOMContentLoaded', () => Notification.permission = 'default')"
    )
    page.focus("#tel-on")
    page.keyboard.press("Space")
    assert page.evaluate("Notification.asked") == 1


def test_without_a_secure_address_it_says_why_it_cannot_work(desk):
    page = desk(
        "insecure", script=WANTED + "Object.defineProperty(window, 'isSecureContext', {value: false})", locale="en-GB"
    )
    expect(page.locator("#tel-state")).to_contain_text("https://")
    assert page.evaluate("typeof line") == "undefined"


# ---- calls -----------------------------------------------------------------------------------------------------------
def test_a_call_is_answered_and_ended_by_keys(desk, floor):
    page = desk()
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    line(page, "rings()")
    expect(page.locator("#tel-call")).to_have_text("电话响铃：138****5678")
    assert shown(page) == ["answer", "refuse"]
    becomes_true(page, "document.title.startsWith('☎ 来电')")
    page.wait_for_timeout(100)
    assert "电话响铃" in page.text_content("#urgent")
    page.keyboard.press("a")
    floor.join("8016")
    expect(page.locator("#tel-call")).to_contain_text("通话中 · 0:0")
    assert shown(page) == ["mute", "hold", "to", "keypad", "end"]
    expect(page.locator("#tel-state")).to_have_text("")
    assert "☎" not in page.title()
    page.keyboard.press("e")
    expect(page.locator("[data-tel=end]")).to_contain_text("再按一次确认")
    assert line(page, "calls.length") == 1
    page.keyboard.press("e")
    assert line(page, "calls.length") == 0
    assert shown(page) == ["to"]


@pytest.mark.parametrize(
    ("locale", "hint"), [("zh-CN", "先听提示，马上接通 …"), ("en-GB", "First a hint, connecting …")]
)
def test_while_the_agent_hears_the_whisper_it_does_not_look_like_a_talk(desk, floor, keep, locale, hint):
    page = desk(locale=locale)
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    in_a_talk(page)
    expect(page.locator("#tel-call")).to_have_text(hint)
    expect(page.locator("#tel-state")).to_have_text("")
    assert shown(page) == ["mute", "keypad", "end"]
    keep(page, f"phone-whisper-{locale[:2]}")
    floor.join("8016")
    expect(page.locator("#tel-call")).to_contain_text("138****5678")
    assert shown(page) == ["mute", "hold", "to", "keypad", "end"]


def test_without_news_of_the_join_it_looks_like_a_talk_after_all(desk, floor):
    page = desk()
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    page.clock.install()
    in_a_talk(page)
    expect(page.locator("#tel-call")).to_have_text("先听提示，马上接通 …")
    page.clock.run_for(11_000)
    expect(page.locator("#tel-call")).to_contain_text("通话中")
    assert "hold" in shown(page)


def test_the_second_press_that_ends_a_talk_has_to_come_soon(desk):
    page = desk()
    in_a_talk(page)
    page.clock.install()
    page.keyboard.press("e")
    page.clock.run_for(4_500)
    page.keyboard.press("e")
    assert line(page, "calls.length") == 1


def test_a_call_is_declined(desk):
    page = desk()
    line(page, "rings()")
    page.keyboard.press("e")
    assert line(page, "calls.length") == 0


def test_mute_and_hold(desk):
    page = desk()
    in_a_talk(page)
    page.keyboard.press("m")
    expect(page.locator("[data-tel=mute]")).to_have_attribute("aria-pressed", "true")
    assert "麦克风已静音" in said(page)
    page.keyboard.press("m")
    expect(page.locator("[data-tel=mute]")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("w")
    expect(page.locator("#tel-call")).to_contain_text("客户在等候")
    assert line(page, "talk?.held ?? line.calls[0].held")
    page.keyboard.press("w")
    assert not line(page, "calls[0].held")


def test_keys_are_sent_as_they_are_pressed_and_are_no_shortcuts(desk, floor):
    page = desk()
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    in_a_talk(page)
    page.keyboard.press("k")
    page.keyboard.type("1x4#")
    assert line(page, "calls[0].sent") == "14#"
    assert page.input_value("#tel-digits") == ""
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert line(page, "calls[0].sent") == "14#1"
    assert page.get_attribute("[data-digit='#']", "aria-label") == "井号键"
    assert page.get_attribute("#keys [data-key=mute]", "aria-pressed") == "false"


# ---- transfers -------------------------------------------------------------------------------------------------------
def test_a_blind_transfer(desk):
    page = desk()
    in_a_talk(page)
    page.keyboard.press("t")
    keys(page, "80 90", "Tab", "Tab", "Enter")
    assert line(page, "transferred") == [["13800005678", "8090"]]
    assert "已转接" in said(page)


def test_an_attended_transfer(desk):
    page = desk()
    in_a_talk(page)
    page.keyboard.press("t")
    page.keyboard.type("8017\n")
    assert line(page, "dialled") == [["8017"]]
    assert line(page, "calls[0].held")
    expect(page.locator("#tel-call")).to_have_text("正在呼叫 8017 · 客户在等候")
    assert shown(page) == ["mute", "end"]
    line(page, "calls[1].talks()")
    page.keyboard.press("j")
    assert line(page, "transferred") == [["13800005678", "call 8017"]]
    assert line(page, "calls.length") == 0


def test_a_colleague_who_does_not_answer_leaves_the_caller_on_hold(desk):
    page = desk()
    in_a_talk(page)
    page.keyboard.press("t")
    page.keyboard.type("8017\n")
    line(page, "calls[1].over('Busy')")
    expect(page.locator("#toast")).to_contain_text("按 w 恢复")
    assert line(page, "calls[0].held")
    page.keyboard.press("w")
    assert not line(page, "calls[0].held")


def test_back_from_the_colleague_to_the_caller(desk):
    page = desk()
    in_a_talk(page)
    page.keyboard.press("t")
    page.keyboard.type("8017\n")
    line(page, "calls[1].talks()")
    page.keyboard.press("e")
    page.keyboard.press("e")
    assert line(page, "calls.map((one) => one.number)") == ["13800005678"]


def test_a_transfer_that_is_refused_leaves_the_call(desk):
    page = desk()
    in_a_talk(page)
    page.evaluate("window.transferFault = '404'")
    page.keyboard.press("t")
    keys(page, "8099", "Tab", "Tab", "Enter")
    assert "通话还在" in said(page)
    assert line(page, "calls.length") == 1


def test_a_call_to_a_number(desk):
    page = desk()
    page.keyboard.press("t")
    page.keyboard.type("600\n")
    expect(page.locator("#tel-call")).to_have_text("正在呼叫 600")
    assert line(page, "dialled") == [["600"]]
    line(page, "calls[0].over('Not Found')")
    assert "600 没有接通" in said(page)


# ---- what goes wrong -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("why", "remedy"), [("denied", "地址栏"), ("none", "耳麦")])
def test_without_a_microphone_it_says_what_to_do_and_goes_on_ringing(desk, why, remedy):
    page = desk()
    page.evaluate(f"window.microphoneFault = '{why}'")
    line(page, "rings()")
    page.keyboard.press("a")
    expect(page.locator("#tel-fault")).to_contain_text(remedy)
    expect(page.locator("#tel-fault")).to_contain_text("再按“接听”")
    assert shown(page) == ["answer", "refuse"]


def test_a_call_whose_microphone_is_gone_sends_silence_until_there_is_one(desk):
    """Without any packets, Asterisk would take the page for gone."""
    page = desk()
    in_a_talk(page)
    devices = "(await import('/static/phone/devices.js')).news.dispatchEvent(new CustomEvent("
    page.evaluate(f"(async () => {{ {devices}'lost', {{detail: {{from: null, why: 'none'}}}})) }})()")
    expect(page.locator("#toast")).to_contain_text("麦克风断开")
    assert page.evaluate("window.silent = line.calls[0].microphone, silent.readyState") == "live"
    page.evaluate(
        "navigator.mediaDevices.getUserMedia = async () => new AudioContext().createMediaStreamDestination().stream"
    )
    page.evaluate(f"(async () => {{ {devices}'chosen', {{detail: {{what: 'microphone'}}}})) }})()")
    becomes_true(page, "line.calls[0].microphone !== silent && silent.readyState === 'ended'")


def test_a_lost_line_is_shown_and_the_talk_goes_on(desk):
    page = desk()
    in_a_talk(page)
    line(page, "becomes('lost')")
    expect(page.locator("#tel-state")).to_contain_text("通话的声音不受影响")
    page.keyboard.press("w")
    expect(page.locator("#toast")).to_contain_text("现在不能这样做")
    line(page, "becomes('registered')")
    expect(page.locator("#tel-state")).to_have_text("")
    line(page, "calls[0].becomes({media: 'broken'})")
    expect(page.locator("#tel-call")).to_contain_text("声音中断")


def test_a_pause_is_shown_with_its_reason(desk, phone):
    phone["paused"] = "phone_gone"
    page = desk(locale="en-GB")
    expect(page.locator("#tel-paused")).to_contain_text("gone for more than 5 s")


def test_no_account_is_shown_and_asked_for_again(desk):
    page = desk("off", script="")
    page.unroute("**/api/phone")
    answers = [{"status": 409, "json": {"error": "no_phone"}}, {"json": ACCOUNT}]
    page.route("**/api/phone", lambda route: route.fulfill(**answers.pop(0)))
    page.focus("#tel-on")
    page.keyboard.press("Space")
    expect(page.locator("#tel-fault")).to_contain_text("没有为您的工号设置")
    expect(page.locator("#tel-state")).to_have_text("可以接听")
    expect(page.locator("#tel-fault")).to_have_text("")


def test_an_unseen_window_notifies_without_a_whole_number(desk, floor):
    page = desk(script=WANTED + "document.hasFocus = () => false")
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    line(page, "rings()")
    assert page.evaluate("notices") == [["来电", "养老热线"]]
    line(page, "calls[0].over()")
    assert page.evaluate("notices.at(-1)") == "closed"


def test_nothing_of_a_call_is_logged(desk):
    logged: list[str] = []
    page = desk()
    page.on("console", lambda message: logged.append(message.text))
    in_a_talk(page)
    page.keyboard.press("k")
    page.keyboard.type("1234")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.keyboard.press("e")
    page.wait_for_timeout(100)
    assert logged == []


# ---- one window, and its end -----------------------------------------------------------------------------------------
def second_window(page: Page) -> Page:
    """Of the same browser."""
    return enter(page.context.new_page(), page.url, "elsewhere")


def test_one_window_holds_the_phone(desk):
    page = desk()
    other = second_window(page)
    expect(other.locator("#tel-state")).to_contain_text("另一个窗口")
    assert shown(other) == ["here"]
    other.focus("[data-tel=here]")
    other.keyboard.press("Enter")
    expect(other.locator("#tel-state")).to_have_text("可以接听")
    expect(page.locator("#tel-state")).to_contain_text("另一个窗口")
    assert line(page, "link") == "off"
    other.close()
    expect(page.locator("#tel-state")).to_have_text("可以接听")


def test_a_phone_that_another_browser_has_taken_comes_back_when_asked(desk):
    page = desk()
    expect(page.locator("#tel-state")).to_have_text("可以接听")
    line(page, "becomes('taken')")
    expect(page.locator("#tel-state")).to_contain_text("另一台电脑")
    assert shown(page) == ["here"]
    page.focus("[data-tel=here]")
    page.keyboard.press("Enter")
    expect(page.locator("#tel-state")).to_have_text("可以接听")


def test_a_window_in_a_talk_keeps_the_phone(desk):
    page = desk()
    in_a_talk(page)
    other = second_window(page)
    other.click("[data-tel=here]")
    expect(other.locator("#toast")).to_contain_text("另一个窗口正在通话")
    assert line(page, "calls.length") == 1


def test_a_reload_in_a_talk_warns_and_offers_the_call_back(desk):
    page = desk()
    in_a_talk(page)
    warned = []
    page.once("dialog", lambda dialog: (warned.append(dialog.type), dialog.accept()))
    again(page)
    assert warned == ["beforeunload"]
    expect(page.locator("#tel-call")).to_contain_text("刷新前的通话还在")
    page.keyboard.press("a")
    assert line(page, "dialled") == [["8016", "Replaces: id;to-tag=theirs;from-tag=ours", "Require: replaces"]]
    line(page, "calls[0].talks()")
    expect(page.locator("[data-tel=hold]")).to_be_visible()


def test_a_call_that_ended_before_the_reload_is_not_offered(desk):
    page = desk()
    in_a_talk(page)
    line(page, "calls[0].over()")
    again(page)
    expect(page.locator("#tel-state")).to_have_text("可以接听")
    assert shown(page) == ["to"]


def test_no_call_is_offered_that_asterisk_may_have_given_up(desk):
    page = desk()
    in_a_talk(page)
    page.once("dialog", lambda dialog: dialog.accept())
    page.add_init_script("const now = Date.now; Date.now = () => now() + 13_600")
    again(page)
    assert shown(page) == ["to"]


def test_a_talk_outlasts_the_choice_and_the_servers_offer(desk, phone, floor):
    page = desk()
    in_a_talk(page)
    page.focus("#tel-on")
    page.keyboard.press("Space")
    expect(page.locator("#toast")).to_contain_text("现在不能这样做")
    expect(page.locator("#tel-on")).to_be_checked()
    phone.clear()
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    assert line(page, "calls.length") == 1
    assert "end" in shown(page)
    line(page, "calls[0].over()")
    expect(page.locator("#tel")).to_be_hidden()
    becomes_true(page, "line.link === 'off'")


def test_nobody_signs_out_in_a_talk(phone, window, floor):
    page = enter(window(script=WANTED), floor.url)
    in_a_talk(page)
    page.click("[data-do=sign-out]:visible")
    expect(page.locator("#toast")).to_contain_text("通话中不能退出")
    other = second_window(page)
    other.click("[data-do=sign-out]:visible")
    expect(other.locator("#toast")).to_contain_text("通话中不能退出")
    other.close()
    line(page, "calls[0].over()")
    page.click("[data-do=sign-out]:visible")
    page.wait_for_selector("#agent")
    becomes_true(page, "line.link === 'off'")


# ---- always in view -------------------------------------------------------------------------------------------------
LIES = """(() => {
    const [tel, one] = [document.getElementById("tel"), document.activeElement].map((e) => e.getBoundingClientRect());
    const under = !document.getElementById("tel").contains(document.activeElement) && one.top < tel.bottom
        && one.bottom > tel.top && one.left < tel.right;
    return { top: tel.top, bottom: tel.bottom, under, id: document.activeElement.id || document.activeElement.outerHTML,
        y: scrollY, end: document.body.scrollHeight - innerHeight };
})()"""


@pytest.mark.parametrize(("width", "height", "stays"), [(1100, 660, True), (1100, 600, False), (900, 900, False)])
def test_it_stays_in_view_on_a_large_window_and_covers_no_focus(desk, floor, keep, width, height, stays):
    page = desk(width=width, height=height)
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    in_a_talk(page)
    page.keyboard.press("k")
    page.keyboard.press("Escape")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    becomes_true(page, f"{LIES}.y > 100")
    assert (page.evaluate(LIES)["top"] >= 0) == stays
    if not stays:
        return
    keep(page, "phone-stays")
    page.focus("#shortcuts")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    for _ in range(45):
        page.keyboard.press("Shift+Tab")
        lies = page.evaluate(LIES)
        assert not lies["under"] and lies["top"] >= 0, lies
        if lies["id"] == "tel-digits":
            break
    else:
        pytest.fail("the phone was not reached")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    before = page.evaluate(LIES)["y"]
    page.focus("[data-tel=mute]")
    page.keyboard.press("Tab")
    assert page.evaluate(LIES)["y"] == before, "the page does not jump"


# ---- to be read by everybody -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(("theme", "locale"), [("light", "zh-CN"), ("dark", "en-GB")])
def test_nothing_that_axe_finds_wrong_in_any_state_of_the_phone(desk, floor, phone, keep, theme, locale):
    page = desk(locale=locale, color_scheme=theme)

    def look(state: str) -> None:
        page.wait_for_timeout(150)
        keep(page, f"phone-{state}-{theme}-{locale[:2]}", full_page=state == "ready")
        keeps_nobody_out(page, f"the phone: {state}")

    look("ready")
    floor.ring("8016")
    page.wait_for_selector("body[data-state=ringing]")
    line(page, "rings()")
    look("ringing")
    page.evaluate("window.microphoneFault = 'denied'")
    page.keyboard.press("a")
    look("no-microphone")
    page.evaluate("window.microphoneFault = ''")
    page.keyboard.press("a")
    floor.join("8016")
    page.wait_for_selector("body[data-state=talking]")
    page.keyboard.press("m")
    page.keyboard.press("k")
    look("talk-keypad")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    look("transfer")
    page.keyboard.type("8017\n")
    line(page, "calls[1].talks()")
    look("consult")
    line(page, "becomes('lost')")
    line(page, "calls[0].becomes({media: 'broken'})")
    page.keyboard.press("e")
    look("lost")
    line(page, "becomes('registered')")
    line(page, "calls[1].over()")
    line(page, "calls[0].over()")
    phone["paused"] = "phone_gone"
    floor.hang_up("8016")
    page.wait_for_selector("body[data-state=after]")
    look("paused")
    assert json.loads(page.evaluate("JSON.stringify(line.calls)")) == []
