"""When a phrase counts as said."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearline.assist.hints.cards import Group
from hearline.assist.hints.events import Side
from hearline.assist.hints.hint_store import load_book
from hearline.assist.speech.phrases import Listener, words_of

SPOKEN = load_book(Path(__file__).parents[2] / "ivr_flows" / "hints").spoken
FORBIDDEN = SPOKEN["forbidden_phrase"]


def listener(*phrases: str, not_in: tuple[str, ...] = ()) -> Listener:
    return Listener({"group": Group(Side.AGENT, phrases, not_in)})


def heard(text: str, *phrases: str) -> bool:
    return listener(*phrases).hear(text, ended=True) == ["group"]


def test_punctuation_width_capitals_and_spaces_do_not_matter():
    assert words_of("您好！ＯＫ, it's 95160。") == ["您", "好", "ok", "it's", "95160"]
    assert heard("这 不是 我的问题 不关我事", "这不是我的问题，不关我事")
    assert heard("I DON'T KNOW THAT", "i don't know")


def test_words_of_letters_are_whole_words():
    assert not heard("i know", "no")


@pytest.mark.parametrize("phrase", FORBIDDEN.phrases)
def test_every_forbidden_phrase_is_heard_in_a_sentence(phrase):
    assert Listener({"f": FORBIDDEN}).hear(f"先生{phrase}请您谅解", ended=True) == ["f"]


@pytest.mark.parametrize(
    "text",
    [
        "您看这样对不对",
        "没错了就是这样",
        "那就不错了",
        "请您稍等，我帮您查看一下",
        "我知道了，我马上为您处理",
        "部队",
        "不会",
    ],
)
def test_what_sounds_similar_or_contains_one_is_harmless(text):
    assert Listener({"f": FORBIDDEN}).hear(text, ended=True) == []


def test_homophones_are_heard_but_not_in_phrases_of_two_characters():
    assert heard("我不之到", "我不知道")  # the usual error
    assert heard("公司归定就是这样的没办法", "公司规定就是这样的，没办法")
    assert not heard("我不值得", "我不知道")
    assert heard("您贵性", "您贵姓") and heard("謝謝您", "谢谢您")
    assert not heard("您跪行", "您贵姓")  # three characters: the tones as well
    assert not heard("部队", "不对")


def test_a_phrase_is_told_once_an_utterance_however_its_results_are_mended():
    one = listener("我不知道", "我不清楚")
    told = [one.hear(text) for text in ("我", "我不知", "我不知道", "我不值到", "我不知道我不清楚", "我不知道")]
    assert told == [[], [], ["group"], [], [], []]
    assert one.hear("我不知道", ended=True) == []
    assert one.hear("我不知道", ended=True) == ["group"]


def test_what_the_next_word_may_make_harmless_is_waited_for():
    one = listener("不会", not_in=("不会的",))
    assert one.hear("不会") == []
    assert one.hear("不会的") == []
    assert one.hear("不会的 我不会") == []
    assert one.hear("不会的 我不会说") == ["group"]
    assert listener("不会", not_in=("不会的",)).hear("不会", ended=True) == ["group"]


def test_the_shipped_groups_do_not_hear_each_others_phrases():
    for name, group in SPOKEN.items():
        for phrase in group.phrases:
            same_side = {n: g for n, g in SPOKEN.items() if g.of == group.of}
            assert Listener(same_side).hear(phrase, ended=True) == [name]
