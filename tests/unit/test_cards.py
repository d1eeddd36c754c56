"""The cards: exact wording, the variants of each phrase set, search, and the naming of characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearline.assist.hints.cards import ASK, Cards, read_cards
from hearline.assist.hints.hint_store import load_book
from hearline.assist.hints.pinyin import find_initials, initials_of, spelled

REPO = Path(__file__).resolve().parents[2]
BOOK = load_book(REPO / "ivr_flows" / "hints")
LANZHI = BOOK.cards["lanzhi"]

# The service standard, §1.3, §1.4 and §2, spelled out: what is to be said, section by section.
LOUDER = "对不起，我听不清您的声音，麻烦您大声一点，好吗？"
OTHER_PHONE = "对不起，电话声音太小，请您换一部电话再拨，好吗？谢谢您的来电，再见！"
RECEIVER = "对不起，我听不清您的声音，请您将话筒拿起来好吗？"
BY_NAME = "您好，请问是{name}{title}吗？请问您这次需要什么服务？"
LOUDEST = "很抱歉，我这里的声音已经调至最大，如果您还是听不清楚，请您换一部话机再拨好吗？"
YOU_MEAN = ["请问您的意思是……吗？", "您是说……，对吗？", "您是指……，是吗？"]
EXPLAINED = ["对不起，可能我解释的不太清楚，请允许我再说一遍好吗？", "对不起，我没解释清楚，我的意思是这样……"]
BAD_LINE = "抱歉，通话不清楚，能麻烦您再重复一下吗？"
GO_ON = "您的意思我明白，您请继续。"
MAY_I = "{reason}，您可以稍等一会儿吗？"
PROMISES = ["谢谢您。", "等一下，马上就好。", "我需要两三分钟，您是愿意稍等一会儿呢，还是您希望我一会儿给您打回去呢？"]
INVITED = "非常感谢您的诚心邀请及您对我工作的肯定，但很抱歉不能接受您的邀请，希望以后能继续得到您的支持，谢谢"
NUMBER_ONLY = [
    "{title}，很抱歉，我们在工作时只使用工号，我是{agent_id}号。",
    "我们的工号是唯一的，您打电话找我工号就可以。",
]
ANYTHING_ELSE = "请问还有其它需要帮助的吗？"
COME_AGAIN = "对不起，{title}，如果您没有其他问题的话，欢迎您下次致电{hotline}，谢谢合作"
BEYOND = "对不起，{title}，我很难帮到您，您的要求已经超出了{brand}的服务范围，请您谅解"
NEXT_TIME = "如您下次有需要，请再来电。我们将继续为您服务，谢谢您的来电，再见"
STANDARD = {
    "1.4": ["对不起，您还需要咨询什么业务方面的问题吗？"],
    "2.1": ["您好，{brand}，{agent_id}号为您服务，请问有什么可以帮您？", BY_NAME],
    "2.2": ["{brand}客服中心{agent_id}号，很抱歉，让您久等了。"],
    "2.3": [LOUDER, "很抱歉，您的电话声音太小，麻烦您换个位置好吗？", RECEIVER, OTHER_PHONE],
    "2.4": ["{title}，请问您是否可以听清我的说话呢？", "您请说，我正听。"],
    "2.5": ["请问有什么可以帮您吗？", LOUDEST],
    "2.6": [*YOU_MEAN, "很抱歉，没有听清，请您重复一遍好吗？", BAD_LINE, *EXPLAINED],
    "2.7": ["是的", "对的", "好", "请讲", "我明白了", GO_ON],
    "2.8": ["您请说，我正听。"],
    "2.9": [],
    "2.10": ["很抱歉，更正下……"],
    "2.11": [MAY_I, "麻烦您稍等，帮您查看一下。", *PROMISES],
    "2.12": [
        "查询后给您回复电话",
        "请您稍后再次拨打",
        "很抱歉给您带来不便，我会马上为您处理，请您再稍等一下好吗？谢谢。",
    ],
    "2.13": ["很抱歉，让您久等了。"],
    "2.14": [
        "{title}，您的问题我们需要到相关部门查询，恐怕会耽误您较长时间，请您留下您的电话，我查询后立即回复您，好吗？谢谢！",
        "请问我是否随时可以联系您呢？",
    ],
    "2.15": [
        "请问居民叫什么名字？",
        "请问先生/女士您贵姓？",
        "请问先生/女士您怎么称呼？",
        "请问您的姓名？",
        "请问您的电话号码？",
        "与您确认一下，姓名是{name}，电话号码是{phone}，对吗？",
    ],
    "2.16": ["请问您是李世民的李吗？"],
    "2.17": [
        "对不起，{title}，这超出了我的权限范围，虽然我帮不到您，但我会立即将问题反映给上级部门处理，您看这样好吗？"
    ],
    "2.18": [f"{BEYOND}。", "没关系，请问还有其它可以帮到您的吗？"],
    "2.19": [ANYTHING_ELSE, f"{COME_AGAIN}，再见。"],
    "2.20": [f"{INVITED}。", *NUMBER_ONLY],
    "2.21": ["不客气，应该的。"],
    "2.22": [],
    "2.23": [
        ANYTHING_ELSE,
        "谢谢您的来电，再见。",
        ANYTHING_ELSE,
        "祝您旅途愉快，谢谢您的来电，再见。",
        ANYTHING_ELSE,
        f"{NEXT_TIME}。",
    ],
    "2.24": [],
    "2.25": [
        "对不起，您先别着急，我马上帮您解决。",
        "我也非常想帮助您。",
        "我知道您现在很生气。",
        "您说的情况是个事实，我也很抱歉。",
        "我理解您的处境，您不要太担心。",
    ],
    "2.26": [],
    "2.27": [],
    "2.30": [],
}
OTHERWISE = {
    "training": {
        "2.1": ["您好！很高兴为您服务！", BY_NAME],
        "2.3": [LOUDER, RECEIVER, OTHER_PHONE],
        "2.4": ["{title}，请问您是否可以听清我的说话呢？", "{title}，您请说，我正在听。"],
        "2.6": [*YOU_MEAN, "对不起，请您重复一遍，好吗？谢谢！", BAD_LINE, *EXPLAINED],
        "2.7": ["是", "对", "好", "请讲", "我明白了", GO_ON],
        "2.10": ["实在抱歉，刚才我的解释有些欠缺，应该是……", "非常抱歉，刚才的问题请容许我再补充几点……"],
        "2.11": [MAY_I, "请您稍等，帮您查询。", *PROMISES],
        "2.13": ["感谢您的耐心等候！"],
        "2.18": [f"{BEYOND}！", "没关系！请问还有其它可以帮到您的吗？"],
        "2.19": ["请问还有其它可以帮到您的吗？", f"{COME_AGAIN}！再见！"],
        "2.20": [f"{INVITED}！", *NUMBER_ONLY],
        "2.21": ["不客气，这是我应做的。"],
        "2.23": [
            ANYTHING_ELSE,
            "谢谢您的来电！再见！",
            ANYTHING_ELSE,
            "祝您旅途愉快，谢谢您的来电，再见！",
            ANYTHING_ELSE,
            f"{NEXT_TIME}！",
        ],
    },
    "travel": {
        "2.3": [
            LOUDER,
            "对不起，我听不清您的声音，请问您用的是免提吗？",
            RECEIVER,
            "对不起，我听不清楚您的声音。",
            "我听不清楚您提的问题，请您换一部电话再打好吗？",
            OTHER_PHONE,
        ],
        "2.5": ["请问有什么可以帮助您的吗？", LOUDEST.replace("调至", "调到")],
    },
}
NEVER = {
    "2.6": ["不对", "错了"],
    "2.15": ["告诉我你的姓名，电话"],
    "2.16": ["李莲英的李", "狗熊的熊", "潘金莲的潘"],
    "2.17": ["我办不了，没办法。"],
}
AVOID = {
    "2.5": ["再提高嗓门"],
    "2.11": ["只告知，不询问"],
    "2.25": [
        "习惯性的自卫行为",
        "立即与客户摆道理，急于为自己开脱",
        "急于得出结论、一味地道歉",
        "言行不一，允诺客户自己做不到的事",
        "缺乏诚意，令客户反感",
        "吹毛求疵，责难客户",
        "缺少专业知识，匆忙上阵",
        "缺乏耐心，急于打发客户",
    ],
    "2.30": ["先问是谁来电，再说同事不在"],
}
FORBIDDEN = (
    "绝对不可能发生这种事情",
    "肯定不行",
    "我不知道，我不清楚",
    "这不是我的问题，不关我事",
    "你可以投诉呀",
    "这不需要你来说，我知道",
    "你错了，不是这样的",
    "公司规定就是这样的，没办法",
    "我办不了",
    "不对",
    "错了",
)


# ---- wording ---------------------------------------------------------------------------------------------------------
def _said(cards: Cards) -> dict[str, list[str]]:
    return {section: [s.text for card in of for s in card.say] for section, of in cards.by_section().items()}


@pytest.mark.parametrize("phrases", ["lanzhi", "training", "travel"])
def test_wording_is_the_standards_to_the_letter(phrases):
    said = _said(BOOK.cards[phrases])
    assert said == STANDARD | OTHERWISE.get(phrases, {})
    assert list(said) == list(STANDARD), "in the standard's order: 2.9 before 2.10"


def test_a_phrase_set_that_has_nothing_of_its_own_has_the_files_words():
    assert BOOK.cards_of("training") is BOOK.cards["training"]
    assert BOOK.cards_of("ours") is LANZHI


def test_what_must_never_be_said():
    for section, words in NEVER.items():
        for card in LANZHI.by_section()[section]:
            assert list(card.never) == words
    avoided = {of: [line["zh"] for card in cards for line in card.avoid] for of, cards in LANZHI.by_section().items()}
    assert {section: lines for section, lines in avoided.items() if lines} == AVOID
    assert LANZHI.by_id["forbidden"].never == FORBIDDEN
    alone = [phrase.split("，") if phrase == "我不知道，我不清楚" else [phrase] for phrase in FORBIDDEN]
    assert BOOK.spoken["forbidden_phrase"].phrases == tuple(part for parts in alone for part in parts)


def test_what_has_an_order_comes_in_it():
    """2.5: the microphone, then the question, and only then the sentence that gives up; 2.23: the question first."""
    soft = LANZHI.by_id["agent-too-soft"]
    assert soft.first == "do" and [saying.case["en"] for saying in soft.say] == [
        "then",
        "loud enough, and they still cannot hear you",
    ]
    closings = [card for name, card in LANZHI.by_id.items() if name.startswith("closing-")]
    assert len(closings) == 3
    assert {card.say[0].text for card in closings} == {ANYTHING_ELSE} and {len(card.say) for card in closings} == {2}


def test_a_wait_is_promised_by_the_words_that_say_so():
    promised = {saying.text: saying.promise_ms for saying in LANZHI.by_id["please-wait"].say if saying.promise_ms}
    assert promised == dict(zip(PROMISES[1:], (60_000, 180_000)))
    assert LANZHI.by_id["please-wait"].next == ("cannot-answer-now",), "what takes longer"


def test_the_keys_that_belong_to_a_card():
    keys = {name: [str(key) for key in card.keys] for name, card in LANZHI.by_id.items() if card.keys}
    assert keys == {
        "caller-too-soft": ["low_volume", "receiver"],
        "please-wait": ["callback"],
        "still-on-hold": ["callback"],
        "cannot-answer-now": ["callback"],
        "unreasonable-demand": ["supervisor"],
        "nuisance-call": ["nuisance"],
    }


def test_a_callers_name_and_title():
    assert {name: cards.gaps["title"] for name, cards in BOOK.cards.items()} == {
        "lanzhi": "先生/小姐",
        "training": "先生/小姐",
        "travel": "先生/女士",
    }
    assert [saying.needs for saying in LANZHI.by_id["answering"].say] == [(), ("name",)]


def test_cards_without_words_say_what_to_do():
    assert len(LANZHI.by_id["complaint"].do) == 6 and len(LANZHI.by_id["complaint"].know) == 1
    assert [line["zh"][0] for line in LANZHI.by_id["customer-colours"].know] == ["红", "蓝", "黄", "绿"]
    assert all(card.say or card.do or card.know for card in LANZHI.by_id.values())
    assert all(saying.text for cards in BOOK.cards.values() for card in cards.by_id.values() for saying in card.say)


def test_fields_are_filled_in_as_far_as_they_are_known():
    card = LANZHI.by_id["answering"].filled({"brand": "蓝智慧养老", "agent_id": "8016"})
    assert card.say[0].text == "您好，蓝智慧养老，8016号为您服务，请问有什么可以帮您？"
    card = LANZHI.by_id["asking-for-data"].filled({"name": "李明", "phone": ""})
    assert card.say[-1].text == "与您确认一下，姓名是李明，电话号码是{phone}，对吗？"


# ---- search ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "first", "also"),
    [
        ("2.1", "answering", ["correcting", "please-wait", "nothing-more"]),
        ("2.10", "correcting", []),
        ("稍等", "please-wait", ["still-on-hold"]),
        ("麻烦您稍等，帮您", "please-wait", []),
        ("mfnsd", "please-wait", []),
        ("tsl", "complaint", []),  # 投诉六步
        ("辱骂", "unreasonable-demand", []),
        ("bzbgxz", "customer-colours", []),  # in what is to be known: 不争辩，给选择
        ("zj", "transferring", []),  # 转接
        ("qncfyb", "not-understood", []),  # 请您重复一遍: c, not z
        ("HOLD", "please-wait", ["still-on-hold", "after-hold"]),
        ("8016", None, []),
        ("2.13 jd", "after-hold", []),
        ("2.13 稍等", None, []),
        ("，", "nuisance-call", ["forbidden"]),  # nothing to search by: all
    ],
)
def test_search(query, first, also):
    found = [card.id for card in LANZHI.search(query)]
    assert found[:1] == ([first] if first else [])
    assert set(also) <= set(found)


def test_search_finds_what_the_phrase_set_says():
    assert [card.id for card in BOOK.cards["training"].search("gxndnxdh")] == ["after-hold"]
    assert LANZHI.search("gxndnxdh") == []


def test_every_card_is_found_by_its_title_and_the_initials_of_it():
    for card in LANZHI.by_id.values():
        letters = "".join(options[0] for options in spelled(card.title["zh"]))
        for query in (card.title["zh"], letters, card.title["en"]):
            assert card in LANZHI.search(query), query


# ---- pinyin ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("character", "letters"),
    [("您", "n"), ("啊", "a"), ("座", "z"), ("重", "zc"), ("闫", "y"), ("A", "a"), ("7", "7"), ("，", ""), (" ", "")],
)
def test_initials(character, letters):
    assert initials_of(character) == letters


def test_a_character_that_nobody_foresaw_is_found_by_any_letter():
    assert find_initials("xk", spelled("见龘")) == -1 and find_initials("jx", spelled("见龘")) == 0


def test_initials_agree_with_pypinyin():
    pypinyin = pytest.importorskip("pypinyin")
    texts = [text for cards in BOOK.cards.values() for card in cards.by_id.values() for text in _texts(card)]
    texts += [surname for surname in BOOK.characters.ways if surname not in ("阚", "覃")]  # it has not the surnames'
    for text in texts:
        for character, sound in zip(text, pypinyin.lazy_pinyin(text, errors=list)):
            if character.isalpha() and not character.isascii():
                assert sound[0] in initials_of(character), f"{character} in {text}"
                assert len(initials_of(character)) < 26, f"{character} in {text}: add it to _RARE"


def _texts(card) -> list[str]:
    lines = [line["zh"] for line in (*card.do, *card.know, *card.avoid)]
    return [card.title["zh"], *(s.text for s in card.say), *lines, *card.never]


# ---- 2.16 ------------------------------------------------------------------------------------------------------------
def test_the_naming_of_characters_is_polite_and_ends_with_the_character():
    ways = BOOK.characters.ways
    assert len(ways) > 450
    for character, named in ways.items():
        for way in named:
            assert way.endswith(character) and len(way) > len(character)
            assert not set(way) & set("狗猪鬼病死贼奸毒蛇鼠"), way
            assert way not in ("李莲英的李", "狗熊的熊", "潘金莲的潘")
    assert ASK.format(way=ways["李"][0]) == "请问您是李世民的李吗？"


def test_the_hundred_most_frequent_surnames_are_there():
    frequent = (
        "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
        "姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
    )
    assert len(frequent) == 100 and set(frequent) <= BOOK.characters.ways.keys()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("李", ["李"]),
        ("章", ["章"]),
        ("欧阳修", ["欧阳", "修"]),
        ("李明明", ["李", "明"]),
        ("oy", ["欧阳"]),
        ("zg", ["诸葛"]),
        ("龘", []),
        ("", []),
        ("  ", []),
    ],
)
def test_looking_a_character_up(query, found):
    assert [character for character, _ in BOOK.characters.find(query)] == found


def test_a_letter_finds_the_surnames_first():
    found = [character for character, _ in BOOK.characters.find("Z")]
    assert found[0] == "张" and {"赵", "曾", "查", "珍"} <= set(found)


def test_a_file_without_sets_serves_all_of_them():
    cards = read_cards('a: {section: "2.1", title: {zh: 一, en: one}, say: 好}', "c.yaml")
    assert {name: [s.text for s in of.by_id["a"].say] for name, of in cards.items()} == dict.fromkeys(
        ("lanzhi", "training", "travel"), ["好"]
    )
