"""Every row of the service standard's §2 that agents call up themselves: with the keyboard, on the page in either
language. The card's text must be the standard's to the letter, as written out here."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

PEOPLE = {"zh-CN": "8016", "en-GB": "8017"}
LANGUAGE = {"zh-CN": "zh", "en-GB": "en"}
LABELS = {
    "say": {"zh": "请说", "en": "Say"},
    "do": {"zh": "请做", "en": "Do"},
    "know": {"zh": "请记住", "en": "Bear in mind"},
    "avoid": {"zh": "禁忌", "en": "Avoid"},
    "never": {"zh": "不要说", "en": "Never say"},
}
BRAND, NAME, PHONE, TITLE = "蓝智慧养老", "李明", "13900000000", "女士"
THANKS_BYE = "谢谢您的来电，再见。"
ANYTHING_ELSE = "请问还有其它需要帮助的吗？"


@dataclass(frozen=True)
class Row:
    """How it is called up, and the card.

    ``typed``: into the search, then Enter; ↓: it is the second of the two that are found. ``outcome``: picked instead,
    by its place. ``do_first``: the steps stand before the words. ``say``: {agent} is the work number. Two texts: on the
    Chinese page, on the English one.
    """

    section: str
    title: tuple[str, str]
    typed: tuple[str, str] | None
    say: tuple[str, ...] = ()
    do: tuple[tuple[str, str], ...] = ()
    know: tuple[tuple[str, str], ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()
    never: tuple[str, ...] = ()
    outcome: int = 0
    do_first: bool = False


ROWS = [
    Row(
        "2.11",
        ("请客户等候", "Before a hold"),
        ("mfnsd", "before"),
        say=(
            "〔原因〕，您可以稍等一会儿吗？",
            "麻烦您稍等，帮您查看一下。",
            "谢谢您。",
            "等一下，马上就好。",
            "我需要两三分钟，您是愿意稍等一会儿呢，还是您希望我一会儿给您打回去呢？",
        ),
        do=(
            ("先问，等客户回答，再按保持", "Ask, wait for the answer, then hold"),
            ("选定多久，计时会倒数到那一刻", "Pick how long: the clock counts down to it"),
        ),
        know=(("3分钟以上：留下号码，给客户回电", "Over 3 min: take the number and call back"),),
        avoid=(("只告知，不询问", "Telling them instead of asking"),),
    ),
    Row(
        "2.30",
        ("要找的同事不在", "A colleague who is not there"),
        ("tsbz", "colleague who"),
        do=(
            ("先说明同事不在", "First say that they are absent"),
            ("再问是谁来电，记下留言", "Then ask who calls, and take the message"),
        ),
        avoid=(
            (
                "先问是谁来电，再说同事不在",
                "Asking who calls first, and then saying that they are absent",
            ),
        ),
    ),
    Row(
        "2.6",
        ("没听清、没听懂", "Not heard or understood"),
        ("2.6", "2.6"),
        say=(
            "请问您的意思是……吗？",
            "您是说……，对吗？",
            "您是指……，是吗？",
            "很抱歉，没有听清，请您重复一遍好吗？",
            "抱歉，通话不清楚，能麻烦您再重复一下吗？",
        ),
        know=(
            (
                "客户要求说方言：会说就用方言，不会说就转给会说的同事",
                "Who asks for dialect may be served in it, or passed on to a colleague who speaks it",
            ),
        ),
        never=("不对", "错了"),
    ),
    Row(
        "2.6",
        ("客户没听懂", "The caller does not understand"),
        ("2.6↓", "2.6↓"),
        say=(
            "对不起，可能我解释的不太清楚，请允许我再说一遍好吗？",
            "对不起，我没解释清楚，我的意思是这样……",
        ),
        do=(("用平常的话，不用术语", "Plain words instead of technical terms"),),
        never=("不对", "错了"),
    ),
    Row("2.10", ("更正", "Correcting oneself"), ("hbqgzx", "correcting"), say=("很抱歉，更正下……",)),
    Row(
        "2.14",
        ("暂时不能答复", "Cannot answer now"),
        ("暂时不能", "2.14"),
        say=(
            f"{TITLE}，您的问题我们需要到相关部门查询，恐怕会耽误您较长时间，请您留下您的电话，我查询后立即回复您，"
            "好吗？谢谢！",
            "请问我是否随时可以联系您呢？",
        ),
        do=(
            ("记下全名和电话号码", "Take full name and number"),
            ("逐一复述核对", "Read both back"),
            ("按“标记回电”（电话上按 *7）", "Press “Mark for callback” (*7 on the phone)"),
        ),
        know=(
            ("客户不便随时接听：约好回电的时段", "If not at any time: agree on a time slot"),
            (
                "回电时先说自己是谁、为何来电：客户可能已经忘了您",
                "At the callback first say who calls and why: they have forgotten who you are",
            ),
        ),
    ),
    Row(
        "2.15",
        ("询问资料", "Asking for data"),
        ("2.15", "data"),
        say=(
            "请问居民叫什么名字？",
            "请问先生/女士您贵姓？",
            "请问先生/女士您怎么称呼？",
            "请问您的姓名？",
            "请问您的电话号码？",
            f"与您确认一下，姓名是{NAME}，电话号码是{PHONE}，对吗？",
        ),
        do=(("知道姓名之后，用姓名称呼客户", "Use the name from then on"),),
        never=("告诉我你的姓名，电话",),
    ),
    Row(
        "2.16",
        ("是哪个字", "Which character"),
        ("哪个字", "which"),
        say=("请问您是李世民的李吗？",),
        do=(
            (
                "输入姓氏或字，查客气的说法",
                "Type the surname or character for a polite way of naming it",
            ),
        ),
        never=("李莲英的李", "狗熊的熊", "潘金莲的潘"),
    ),
    Row(
        "2.17",
        ("超出权限", "Beyond one's authority"),
        ("ccqx", "authority"),
        say=(
            f"对不起，{TITLE}，这超出了我的权限范围，虽然我帮不到您，但我会立即将问题反映给上级部门处理，您看这样好吗？",
        ),
        do=(("听客户说完", "Hear them out"), ("说明原因", "Say the reason"), ("提出别的办法", "Propose something")),
        never=("我办不了，没办法。",),
        do_first=True,
    ),
    Row(
        "2.18",
        ("无理要求、辱骂", "Unreasonable demand or insult"),
        ("辱骂", "insult"),
        say=(f"对不起，{TITLE}，我很难帮到您，您的要求已经超出了{BRAND}的服务范围，请您谅解。",),
        do=(("保持冷静", "Stay calm"), ("按一个键，请主管协助", "One key calls a supervisor in")),
    ),
    Row(
        "2.18",
        ("客户致歉", "The caller apologises"),
        ("2.18↓", "2.18↓"),
        say=("没关系，请问还有其它可以帮到您的吗？",),
    ),
    Row(
        "2.20",
        ("客户邀请", "Invitation"),
        ("khyq", "invitation"),
        say=("非常感谢您的诚心邀请及您对我工作的肯定，但很抱歉不能接受您的邀请，希望以后能继续得到您的支持，谢谢。",),
    ),
    Row(
        "2.20",
        ("客户问姓名", "Asked for your name"),
        ("工号", "2.20↓"),
        say=(
            f"{TITLE}，很抱歉，我们在工作时只使用工号，我是{{agent}}号。",
            "我们的工号是唯一的，您打电话找我工号就可以。",
        ),
        do=(("只报工号，不报姓名", "The work number only; never your name"),),
    ),
    Row("2.21", ("客户致谢", "Thanks"), ("bkqyg", "bkqyg"), say=("不客气，应该的。",)),
    Row(
        "2.22",
        ("转接", "Transfer"),
        ("zj", "transfer"),
        do=(
            ("说明原因和转给谁", "Say why and to whom"),
            ("征得客户同意", "Ask consent"),
            ("等对方接听再离开", "Stay until it is answered"),
            ("把客户的姓名和事情告诉接听的同事", "Tell the next agent the caller's name and matter"),
        ),
        know=(
            (
                "您记下的内容，同事也会看到；不要让客户再说一遍",
                "Your colleague sees what you noted: do not make the caller say it again",
            ),
        ),
    ),
    Row("2.23", ("结束：咨询", "Closing: inquiry"), None, outcome=1, say=(ANYTHING_ELSE, THANKS_BYE)),
    Row(
        "2.23",
        ("结束：已预订", "Closing: order made"),
        None,
        outcome=2,
        say=(ANYTHING_ELSE, f"祝您旅途愉快，{THANKS_BYE}"),
    ),
    Row(
        "2.23",
        ("结束：未预订", "Closing: order not made"),
        None,
        outcome=3,
        say=(ANYTHING_ELSE, f"如您下次有需要，请再来电。我们将继续为您服务，{THANKS_BYE}"),
    ),
    Row(
        "2.25",
        ("投诉六步", "Complaint"),
        ("tsl", "complaint"),
        do=(
            ("道歉", "Apologise"),
            ("解释", "Explain"),
            ("表示理解和同情", "Sympathise"),
            ("说明解决办法并去做", "Say the solution and act"),
            ("再次道歉，表示改进的决心", "Apologise again with the resolve to improve"),
            ("感谢", "Thank"),
        ),
        know=(("接受→安抚→澄清→商讨→行动→感谢", "Accept → calm → clarify → discuss → act → thank"),),
        say=(
            "对不起，您先别着急，我马上帮您解决。",
            "我也非常想帮助您。",
            "我知道您现在很生气。",
            "您说的情况是个事实，我也很抱歉。",
            "我理解您的处境，您不要太担心。",
        ),
        avoid=(
            ("习惯性的自卫行为", "Defending oneself out of habit"),
            ("立即与客户摆道理，急于为自己开脱", "Arguing at once, to clear oneself"),
            ("急于得出结论、一味地道歉", "Jumping to conclusions, or only apologising"),
            ("言行不一，允诺客户自己做不到的事", "Promising what one cannot do"),
            ("缺乏诚意，令客户反感", "Being insincere, which puts them off"),
            ("吹毛求疵，责难客户", "Finding fault, blaming the customer"),
            ("缺少专业知识，匆忙上阵", "Rushing in without knowing the subject"),
            ("缺乏耐心，急于打发客户", "Being impatient, getting rid of them"),
        ),
    ),
    Row(
        "2.26",
        ("客户的颜色", "The customer's colour"),
        ("颜色", "2.26"),
        know=(
            (
                "红：以自我为中心，听不进，爱报复，不讲理——先听完，不争辩，给选择",
                "Red: self-centred, will not listen, vengeful, unreasonable – hear them out, offer a choice",
            ),
            (
                "蓝：善分析，性情平和，心思细腻，讲道理——给事实、数字和依据",
                "Blue: analytical, even-tempered, fine-feeling, reasonable – give facts, figures and grounds",
            ),
            (
                "黄：自信，不善体谅别人，直接，要结果——先说结论，说清时限",
                "Yellow: confident, poor at understanding others, direct, wants the result – that first, with its date",
            ),
            (
                "绿：温和，善于倾听，宽容，信任人——主动关心，多确认，不催促",
                "Green: gentle, listens well, tolerant, trusting – care, check that it suits them, do not hurry",
            ),
        ),
    ),
]

CARD = """() => {
    const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
    return {
        section: document.getElementById("hint-section").textContent,
        title: document.getElementById("hint-title").textContent,
        labels: texts("#hint-body h3"),
        say: texts("#hint-body .say li > span:not(.when)"),
        do: texts("#hint-body .do li"),
        know: texts("#hint-body .know li"),
        avoid: texts("#hint-body .avoid li"),
        never: texts("#hint-body .never li"),
        numbered: document.querySelectorAll("#hint-body ol").length > 0,
    };
}"""


class Desk:
    """An agent's page in the middle of a call, the caller's data typed in."""

    def __init__(self, page, floor, locale: str) -> None:
        self.page, self.floor, self.agent, self.language = page, floor, PEOPLE[locale], LANGUAGE[locale]
        self.press, self.type = page.keyboard.press, page.keyboard.type
        floor.join(self.agent)
        page.wait_for_selector("body[data-state=talking]")
        page.select_option("#n-title", TITLE)
        page.fill("#n-name", NAME)
        page.fill("#n-phone", PHONE)

    def own(self, both: tuple[str, str]) -> str:
        """The one in the page's language."""
        return both[self.language == "en"]

    def find(self, typed: str) -> None:
        """Search, and call up the first that is found; with ↓ the second of two."""
        self.press("Escape")
        self.press("/")
        self.press("Control+a")
        self.type(typed.removesuffix("↓"))
        if typed.endswith("↓"):
            expect(self.page.locator("#phrase-list .phrase")).to_have_count(2)
            self.press("Tab")
            self.press("Tab")
        self.press("Enter")

    def pick(self, number: int) -> None:
        """The outcome at this place."""
        self.press("Escape")
        self.press("o")
        for _ in range(1, number):
            self.press("Tab")
        self.press("Enter")

    def card(self, title: str) -> dict:
        expect(self.page.locator("#hint-title")).to_have_text(title)
        return self.page.evaluate(CARD)


@pytest.fixture(scope="module", params=PEOPLE)
def desk(request, shared_window, shared_floor):
    yield Desk(shared_window(locale=request.param, agent=PEOPLE[request.param]), shared_floor, request.param)
    shared_floor.clear()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.section} {row.title[1]}")
def test_a_row_that_comes_by_hand(desk, row, keep):
    title = desk.own(row.title)
    if row.typed:
        desk.find(desk.own(row.typed))
    else:
        desk.pick(row.outcome)
    card = desk.card(title)
    if row.know:
        keep(desk.page, f"row-{row.section}-{desk.language}")
    assert card["section"] == row.section
    assert card["say"] == [text.format(agent=desk.agent) for text in row.say]
    assert card["do"] == [desk.own(step) for step in row.do]
    assert card["know"] == [desk.own(line) for line in row.know]
    assert card["avoid"] == [desk.own(line) for line in row.avoid]
    assert card["never"] == list(row.never)
    assert card["numbered"] == (len(row.do) > 1), "what has an order is numbered, nothing else"
    first = {"do": row.do, "say": row.say} if row.do_first else {"say": row.say, "do": row.do}
    parts = first | {"know": row.know, "avoid": row.avoid, "never": row.never}
    assert card["labels"] == [LABELS[part][desk.language] for part, there in parts.items() if there]
    assert desk.page.is_visible("#hint-acts [data-do=used]"), "it is a hint of this call, not a page to read"
    assert not [word for word in row.never if any(word in text for text in card["say"])]


def test_2_14_ends_in_a_callback_that_is_marked(desk):
    desk.find("2.14")
    expect(desk.page.locator("#hint-section")).to_have_text("2.14")
    desk.press("3")
    expect(desk.page.locator("#keys [data-key=callback][aria-pressed=true]")).to_have_text(
        desk.own(("3 已标记回电", "3 Marked for callback"))
    )


def test_a_key_pressed_as_the_card_appears_belongs_to_it_though_the_answer_is_slow(desk):
    desk.page.evaluate(
        """() => { const plain = window.fetch; window.fetch = async (...asked) => {
            const answer = await plain(...asked);
            if (String(asked[0]).includes("call-up")) {
                await new Promise((goOn) => setTimeout(goOn, 2000));
                window.fetch = plain;
            }
            return answer;
        } }"""
    )
    desk.find("2.10")
    expect(desk.page.locator("#hint-section")).to_have_text("2.10")
    assert desk.page.evaluate("document.activeElement.id") == "hint"


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("李", ["请问您是李世民的李吗？", "请问您是木子李吗？"]),
        ("熊", ["请问您是熊猫的熊吗？", "请问您是能四点熊吗？"]),
        ("潘", ["请问您是三点水番潘吗？", "请问您是潘安的潘吗？"]),
        ("oy", ["请问您是欧阳修的欧阳吗？"]),
    ],
)
def test_2_16_names_a_character_politely(desk, typed, asked):
    desk.press("Escape")
    desk.press("c")
    desk.press("Control+a")
    desk.type(typed)
    expect(desk.page.locator("#character-list")).to_contain_text(asked[0])
    text = desk.page.text_content("#character-list")
    assert all(one in text for one in asked)
    assert not any(never in text for never in ("李莲英的李", "狗熊的熊", "潘金莲的潘"))


def test_what_must_never_be_said_no_card_says(desk):
    told = desk.page.evaluate("async () => (await (await fetch('api/phrases')).json()).phrases")
    assert len(told) > 30
    said = [saying["text"] for card in told for saying in card["say"]]
    assert not [(word, text) for card in told for word in card["never"] for text in said if word in text]


def test_another_phrase_set_corrects_itself_in_its_own_words(desk):
    """Of B, for callers who were greeted in its words. The last one here: the call is another one."""
    desk.floor.hang_up(desk.agent)
    desk.floor.join(desk.agent, phrases="training")
    expect(desk.page.locator("body")).to_have_attribute("data-state", "talking")
    for section, said in {
        "2.10": ["实在抱歉，刚才我的解释有些欠缺，应该是……", "非常抱歉，刚才的问题请容许我再补充几点……"],
        "2.13": ["感谢您的耐心等候！"],
    }.items():
        desk.find(section)
        expect(desk.page.locator("#hint-section")).to_have_text(section)
        assert desk.page.evaluate(CARD)["say"] == said
