"""The phone's devices on the page: what is chosen, what happens when devices come and go, level, echo test and ring. In
a Chromium with sound devices of its own, whose microphone plays a recording."""

from __future__ import annotations

import time

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from bench.page.browser import chromium, chromium_path, microphone, sign_in
from bench.page.floor import PIN, REPO
from bench.page.tab_sound import TAP, sounds
from playwright.sync_api import Page

from hearline.audio.wav import read_wav
from hearline.phone.heard import RATE, contains, tone_level_db

SENTENCE = REPO / "sounds" / "zh" / "callers" / "agent-greeting.wav"
ECHO_S = 3.0
RING_HZ = (760, 950)
ELSEWHERE = "phone.example"  # a name for this machine that is no secure context without TLS
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
TOLD = """addEventListener("DOMContentLoaded", () => {
    window.told = [];
    new MutationObserver(() => window.told.push(...[...document.querySelectorAll(".toast:not([data-seen])")].map(
        (toast) => ((toast.dataset.seen = "yes"), toast.textContent)))).observe(document.body, { childList: true });
})"""
LISTED = """(() => {
    const list = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
    const hidden = new Set();
    navigator.mediaDevices.enumerateDevices = async () => (await list()).filter((one) => !hidden.has(one.label));
    window.plug = (label, there) => {
        (there ? hidden.delete(label) : hidden.add(label));
        navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
    };
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (how) => {
        if (window.refused) throw new DOMException(window.refused[1], window.refused[0]);
        const wanted = how.audio.deviceId?.exact;
        if (wanted && !(await navigator.mediaDevices.enumerateDevices()).some((one) => one.deviceId === wanted))
            throw new DOMException("", "OverconstrainedError");
        return open(how);
    };
})()"""
"""Devices that can be pulled out, and a microphone that can be refused."""
MICROPHONE, SPEAKER = "Fake Audio Input 2", "Fake Audio Output 2"


@pytest.fixture(scope="module")
def browser():
    if chromium_path() is None:
        pytest.skip("there is no Chromium: run make setup as root, or apt-get install chromium")
    with chromium(*microphone(SENTENCE), f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1") as browser:
        yield browser


def opened(page: Page) -> Page:
    """The dialog of the settings, with the microphone open or refused."""
    page.evaluate("document.getElementById('tel-settings').click()")  # shown only where the page is a phone
    page.wait_for_selector("#phone-settings[open]")
    page.wait_for_selector("#phone-level[aria-valuenow], #phone-fault:not([hidden])")
    return page


def labels(page: Page, name: str) -> list[str]:
    return page.locator(f"#phone-{name} option").all_text_contents()


def pick(page: Page, name: str, label: str) -> None:
    page.select_option(f"#phone-{name}", label=label)


def devices(page: Page, script: str):
    """Evaluate with the module ``devices``."""
    return page.evaluate(f"async () => {{ const devices = await import('./static/phone/devices.js'); {script} }}")


# ---- choosing -------------------------------------------------------------------------------------------------------
def test_which_device_to_use_and_what_has_changed(window):
    """The rules alone, without a browser's devices."""
    told = window().evaluate("""async () => {
        const { changes, constraints, dbov, offered, pick, reason } = await import("./static/phone/choice.js");
        const mic = (deviceId, label) => ({ kind: "audioinput", deviceId, label });
        const out = (deviceId, label) => ({ kind: "audiooutput", deviceId, label });
        const listed = [mic("default", "Default"), mic("a", "Desk"), mic("b", "Headset"), out("c", "Headset")];
        const hidden = [mic("", ""), out("", "")];
        const headset = { id: "b", label: "Headset" };
        return {
            offered: offered(listed, "microphone"),
            of_one_kind: offered(listed, "ring"),
            none_chosen: pick(listed, "microphone", null),
            chosen: pick(listed, "microphone", headset),
            under_a_new_id: pick(listed, "microphone", { id: "old", label: "Headset" }),
            gone: pick([mic("a", "Desk")], "microphone", headset),
            not_known_yet: pick(hidden, "microphone", headset),
            changed: changes(listed, [mic("a", "Desk"), out("d", "Hall")]),
            first_named: changes(hidden, listed),
            of_the_system: constraints(""),
            of_one: constraints("b").audio.deviceId,
            silence: dbov(new Float32Array(8)),
            full: dbov(new Float32Array(8).fill(1)),
            half: Math.round(dbov(new Float32Array(8).fill(0.5))),
            reasons: [["NotAllowedError", "Permission denied"], ["NotAllowedError", "Permission denied by system"],
                ["NotFoundError", ""], ["NotReadableError", ""], ["TypeError", ""]].map(([name, message]) =>
                reason({ name, message })),
        };
    }""")
    headset = {"id": "b", "label": "Headset"}
    assert told == {
        "offered": [{"id": "a", "label": "Desk"}, headset],
        "of_one_kind": [{"id": "c", "label": "Headset"}],
        "none_chosen": {"id": "", "label": "", "gone": False},
        "chosen": {**headset, "gone": False},
        "under_a_new_id": {**headset, "gone": False},
        "gone": {"id": "", "label": "Headset", "gone": True},
        "not_known_yet": {**headset, "gone": False},
        "changed": {"come": ["Hall"], "gone": ["Headset"]},
        "first_named": {"come": [], "gone": []},
        "of_the_system": {
            "audio": {"echoCancellation": True, "noiseSuppression": True, "autoGainControl": False},
            "video": False,
        },
        "of_one": {"exact": "b"},
        "silence": None,
        "full": 0,
        "half": -6,
        "reasons": ["denied", "denied_by_system", "none", "busy", "broken"],
    }


def test_the_choice_counts_at_once_and_is_kept_in_the_browser(window, floor):
    page = opened(window())
    assert labels(page, "microphone") == ["系统默认", "Fake Audio Input 1", MICROPHONE]
    assert labels(page, "speaker") == labels(page, "ring") == ["系统默认", "Fake Audio Output 1", SPEAKER]
    pick(page, "microphone", MICROPHONE)
    pick(page, "speaker", SPEAKER)
    pick(page, "ring", "Fake Audio Output 1")
    page.reload()
    page.wait_for_selector("body[data-link=live]")
    opened(page)
    assert page.eval_on_selector("#phone-microphone", "it => it.selectedOptions[0].label") == MICROPHONE
    chosen = devices(
        page,
        """
        await devices.look();
        const [track] = (await devices.microphone()).getTracks();
        const list = await navigator.mediaDevices.enumerateDevices();
        const name = (id) => list.find((one) => one.deviceId === id).label;
        const { deviceId, ...how } = track.getSettings();
        const sinks = await Promise.all(["speaker", "ring"].map(async (what) => {
            const audio = new Audio();
            audio.srcObject = new MediaStream([track]);
            await devices.play(audio, what);
            return name(audio.sinkId);
        }));
        track.stop();
        return [name(deviceId), how.echoCancellation, how.noiseSuppression, how.autoGainControl, ...sinks];""",
    )
    assert chosen == [MICROPHONE, True, True, False, SPEAKER, "Fake Audio Output 1"]


def test_where_the_browser_cannot_choose_the_loudspeaker_it_says_so(window, keep):
    page = opened(window(script="delete HTMLMediaElement.prototype.setSinkId", locale="en-GB"))
    assert page.is_visible("#phone-one-speaker >> text=plays only on the system's default device")
    assert page.is_disabled("#phone-speaker") and page.is_disabled("#phone-ring")
    keep(page, "phone-settings-one-speaker")


# ---- what cannot be --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("refused", "says"),
    [
        (("NotAllowedError", "Permission denied"), "点击地址栏左侧的图标"),
        (("NotAllowedError", "Permission denied by system"), "操作系统没有允许"),
        (("NotFoundError", ""), "没有找到麦克风"),
        (("NotReadableError", ""), "可能正被其他程序占用"),
    ],
)
def test_without_a_microphone_it_says_why_and_what_to_do(window, keep, refused, says):
    page = window(script=LISTED)
    page.evaluate("refused => window.refused = refused", refused)
    opened(page)
    assert page.is_visible(f"#phone-fault >> text={says}")
    keep(page, f"phone-settings-{refused[0]}")
    page.evaluate("window.refused = null")
    page.click("#phone-again")
    page.wait_for_selector("#phone-fault", state="hidden")
    page.wait_for_selector(".level.speaking")


def test_at_an_insecure_address_it_says_so(window, floor):
    page = window(signed_in=False)
    sign_in(page, floor.url.replace("127.0.0.1", ELSEWHERE), "8016", PIN)
    opened(page)
    assert page.is_visible("#phone-fault >> text=请用 https:// 打开本页")


# ---- devices come and go ---------------------------------------------------------------------------------------------
@pytest.fixture
def calling(window) -> Page:
    """A page that uses chosen devices in a call."""
    page = window(script=LISTED + ";" + TOLD)
    opened(page)
    pick(page, "microphone", MICROPHONE)
    pick(page, "speaker", SPEAKER)
    page.keyboard.press("Escape")
    devices(
        page,
        """
        const list = () => navigator.mediaDevices.enumerateDevices();
        const name = async (id) => (await list()).find((one) => one.deviceId === id)?.label;
        let [track] = (await devices.microphone()).getTracks();
        track.enabled = false;
        const audio = new Audio();
        audio.srcObject = new MediaStream([track]);
        await devices.play(audio, "speaker");
        devices.news.addEventListener("replaced", ({ detail }) => (track = detail.to));
        window.uses = async () => [await name(track.getSettings().deviceId), track.enabled, track.readyState,
            audio.sinkId && (await name(audio.sinkId))];
        window.over = () => track.stop();""",
    )
    return page


def plug(page: Page, label: str, there: bool) -> list[str]:
    """Plug a device in, or pull it out. What the page says then."""
    page.evaluate("window.told = []")
    page.evaluate("([label, there]) => window.plug(label, there)", [label, there])
    deadline = time.monotonic() + 3
    while not page.evaluate("window.told.length") and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.wait_for_timeout(150)
    return page.evaluate("window.told")


def test_in_a_call_a_new_device_is_named_and_nothing_switches(calling):
    assert plug(calling, "Fake Audio Output 1", False) == ["已拔出：Fake Audio Output 1。"]
    told = plug(calling, "Fake Audio Output 1", True)
    assert told == ["新接上：Fake Audio Output 1。本次通话不切换；要换用，请在“电话设备”中选择。"]
    assert calling.evaluate("uses()") == [MICROPHONE, False, "live", SPEAKER]


def test_in_a_call_what_is_pulled_out_gives_way_to_the_system_default_and_comes_back_with_the_next_call(calling):
    told = plug(calling, MICROPHONE, False)
    assert told == [f"“{MICROPHONE}”不能用了，麦克风改用系统默认的设备。"]
    assert calling.evaluate("uses()") == ["Fake Default Audio Input", False, "live", SPEAKER], "muted stays muted"
    told = plug(calling, SPEAKER, False)
    assert told == [f"“{SPEAKER}”不能用了，扬声器改用系统默认的设备。"]
    assert calling.evaluate("uses()") == ["Fake Default Audio Input", False, "live", ""]
    plug(calling, MICROPHONE, True)
    told = plug(calling, SPEAKER, True)
    assert told == [f"新接上：{SPEAKER}。本次通话不切换，下次通话起恢复使用。"]
    assert calling.evaluate("uses()") == ["Fake Default Audio Input", False, "live", ""]
    calling.evaluate("over()")
    used = devices(
        calling,
        """
        const [track] = (await devices.microphone()).getTracks();
        track.stop();
        return (await navigator.mediaDevices.enumerateDevices()).find(
            (one) => one.deviceId === track.getSettings().deviceId).label;""",
    )
    assert used == MICROPHONE


def test_choosing_another_device_in_a_call_switches_at_once(calling):
    opened(calling)
    pick(calling, "microphone", "Fake Audio Input 1")
    pick(calling, "speaker", "Fake Audio Output 1")
    calling.wait_for_timeout(300)
    assert calling.evaluate("uses()") == ["Fake Audio Input 1", False, "live", "Fake Audio Output 1"]
    assert calling.get_attribute("#phone-echo", "aria-disabled") == "true"
    assert calling.is_visible("text=通话中不能做回声测试")


# ---- level, echo, ring -----------------------------------------------------------------------------------------------
SHOWN = """ms => new Promise((done) => {
  const says = document.querySelector(".level-says"), levels = [];
  new MutationObserver(() => levels.push(parseFloat(says.textContent.split(" ")[1]))).observe(
    says, { childList: true, characterData: true, subtree: true });
  setTimeout(() => done(levels.filter((level) => !isNaN(level))), ms);
})"""
"""Every level that is shown meanwhile, in dBov."""


def test_the_level_is_the_microphones(window):
    page = opened(window())
    page.wait_for_selector(".level.speaking")
    speech = read_wav(SENTENCE) / 32_768
    found = page.evaluate(SHOWN, (speech.size / 8_000 + 0.5) * 1_000)
    windows = speech[: speech.size // 680 * 680].reshape(-1, 680)  # of 85 ms
    loudest = 10 * np.log10((windows**2).mean(axis=1).max())
    assert max(found) == pytest.approx(loudest, abs=4), "no gain control"
    page.keyboard.press("Escape")
    assert devices(page, "return devices.inCall()") is False


def test_the_echo_test_plays_what_was_said_on_the_chosen_loudspeaker(window, keep):
    page = opened(window(script=TAP))
    pick(page, "speaker", SPEAKER)
    page.click("#phone-echo")
    began = time.monotonic()
    assert page.text_content("#phone-echo-says") == "请对着麦克风说话…"
    page.wait_for_timeout(ECHO_S * 1_000 + 300)
    assert page.text_content("#phone-echo-says") == "正在播放您说的话…"
    keep(page, "phone-settings-echo")
    page.wait_for_selector("#phone-echo-says:empty")
    [echo] = sounds(page)
    assert np.abs(echo.between(began, began + ECHO_S - 0.2)).max(initial=0) == 0, "no sound while one speaks"
    said = read_wav(SENTENCE)
    parts = [said[at : at + RATE] for at in range(0, said.size - RATE, RATE // 2)]
    assert max(contains(echo.samples, part).above_floor_db for part in parts) > 12
    assert abs(echo.first_heard - began - ECHO_S) < 0.3


def test_the_ring_can_be_tried(window):
    page = opened(window(script=TAP))
    pick(page, "ring", SPEAKER)
    page.click("#phone-ring-try")
    page.wait_for_timeout(600)
    assert page.text_content("#phone-ring-try") == "停止"
    [ring] = sounds(page)
    assert all(tone_level_db(ring.samples, hz, window_ms=50) > -25 for hz in RING_HZ)
    page.click("#phone-ring-try")
    [ring] = sounds(page)
    page.wait_for_timeout(300)
    [later] = sounds(page)
    assert later.samples.size == ring.samples.size or not later.samples[ring.samples.size + RATE // 20 :].any()


# ---- to be used by everybody -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_axe_finds_nothing_wrong_in_the_settings(window, keep, theme, locale):
    page = window(locale=locale, color_scheme=theme, script=LISTED)
    for state in ("settings", "fault"):
        if state == "fault":
            page.evaluate("window.refused = ['NotAllowedError', '']")
        opened(page)
        page.wait_for_timeout(200)
        keep(page, f"phone-{state}-{theme}-{locale[:2]}")
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("Escape")


def test_everything_works_by_keyboard(window):
    page = opened(window())
    page.focus("#phone-microphone")
    reached = []
    for _ in range(8):
        reached.append(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    wanted = ["phone-microphone", "phone-speaker", "phone-echo", "phone-ring", "phone-ring-try", "phone-settings-close"]
    assert [one for one in reached if one in wanted][: len(wanted)] == wanted
    page.focus("#phone-microphone")
    page.keyboard.press("ArrowDown")
    assert page.eval_on_selector("#phone-microphone", "it => it.selectedIndex") == 1
    page.focus("#phone-ring-try")
    page.keyboard.press("Enter")
    page.wait_for_selector("#phone-ring-try >> text=停止")
    page.keyboard.press("Escape")
    page.wait_for_selector("#phone-settings", state="hidden")
    assert page.evaluate("document.activeElement.id") != "phone-ring-try"
