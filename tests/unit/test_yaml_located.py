"""YAML with the line of each key and item."""

from __future__ import annotations

import pytest

from hearline.yamlfiles.located import YamlError, load_located

TEXT = """\
steps:
  hello: &hello
    on: {off: yes, 7: no}
  bye: *hello
  again:
    <<: *hello
    play:
      - one
      - true
"""


@pytest.mark.parametrize("text", ["false alarm", "true兴隆", "falsework"])
def test_a_text_that_begins_like_a_truth_is_a_text(text):
    assert load_located(f"title: {text}").value == {"title": text}


@pytest.mark.parametrize("value", ["!!timestamp 2026-02-30", 5_000 * "7", "!!bool maybe", "!!timestamp soon"])
def test_what_is_not_what_it_looks_like_is_a_fault_of_its_line(value):
    with pytest.raises(YamlError) as told:
        load_located(f"a: 2026-02-28\nb: [x, {value}]\nc: y")
    assert told.value.problems[0][0] == 2


def test_words_stay_words():
    assert load_located("2027-02-05: 2027-02-30").value == {"2027-02-05": "2027-02-30"}, "a date is a text"
    assert load_located(TEXT).value["steps"]["hello"] == {"on": {"off": "yes", 7: "no"}}
    assert load_located(TEXT).value["steps"]["again"]["play"] == ["one", True]


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ((), 1),
        (("steps", "hello"), 2),
        (("steps", "hello", "on", "off"), 3),
        (("steps", "hello", "on", 7), 3),
        (("steps", "bye"), 4),
        (("steps", "again", "on"), 3),  # by the merge key: where it was written
        (("steps", "again", "play", 1), 9),
        (("steps", "again", "play", 5, "deeper"), 7),
        (("steps", "again", "play", "each", 1), 9),  # a word that a check has put there
        (("nothing", "of this"), 1),
    ],
)
def test_everything_has_its_line_or_that_of_what_is_around_it(location, line):
    assert load_located(TEXT).line(location) == line


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_text_is_nothing(text):
    assert load_located(text).value is None
    assert load_located(text).line(("any",)) == 1


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: [\n", 2, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' occurs here a second time (first in line 1)"),
        ("a: 1\nb: &x [*x]\n", 2, "an anchor that contains itself"),
        ("? [1, 2]\n: 3\n", 1, "not valid YAML"),
        ("a: \x07\n", 1, "an invisible character"),
    ],
)
def test_what_cannot_be_taken_has_a_line_and_a_remedy(text, line, says):
    with pytest.raises(YamlError) as told:
        load_located(text)
    [(where, problem, remedy)] = told.value.problems
    assert where == line and says in problem and remedy


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("number: '1'\nqueue care\nbegin: x\n", 2, "could not find expected ':' (noticed in line 3)"),
        ("a: 1\nb: 'x\nc: 2\nd: 3\n", 2, "(noticed in line 4)"),
        ("a: 1\nb: {c: 2\nd: 3\n", 2, "(noticed in line 3)"),
        ("number： '1'\nqueue: care\n", 1, "a full-width colon (：, U+FF1A)"),
        ("steps:\n  hello:\n    play： opening\n    on: {noinput: x}\n", 3, "a full-width colon"),
        ("title: {zh：热线}\nqueue: care\n", 1, "a full-width colon"),
        ("on: {noinput： x, key: y}\n", 1, "a full-width colon"),
        ("a: 1\n\u00a0b: 2\n", 2, "NO-BREAK SPACE (U+00A0)"),
        ("a:\n  b: 1\n\u3000\u3000c: 2\n", 3, "IDEOGRAPHIC SPACE (U+3000)"),
        ("a: 1\n\u200bqueue: 2\n", 2, "ZERO WIDTH SPACE (U+200B)"),
        ("a: 1\nqueue: care\u3000\n", 2, "IDEOGRAPHIC SPACE (U+3000)"),
        ("a: 1\nqueue: ca\u200bre\n", 2, "ZERO WIDTH SPACE (U+200B)"),
        ("a: 1\nqueue:\u00a0care\nb: 2\n", 2, "NO-BREAK SPACE (U+00A0)"),
    ],
)
def test_what_nobody_sees_or_means_is_named_in_its_line(text, line, says):
    with pytest.raises(YamlError) as told:
        load_located(text)
    assert [problem[0] for problem in told.value.problems] == [line] and says in told.value.problems[0][1]


def test_a_text_may_hold_whatever_it_likes():
    text = "\ufeffa: 您好：请问 “能” 听见吗？（是）\nb: '\u3000引号里 '\nc: |\n  第一行\u3000\n# 注释：\u00a0随便\n"
    assert load_located(text).value == {
        "a": "您好：请问 “能” 听见吗？（是）",
        "b": "\u3000引号里 ",
        "c": "第一行\u3000\n",
    }


@pytest.mark.parametrize("text", ["a: " + "[" * 33 + "]" * 33, "".join(" " * n + "b:\n" for n in range(40))])
def test_depth_has_an_end(text):
    with pytest.raises(YamlError, match="nested more than 32 levels deep"):
        load_located("x: 1\n" + text if text.startswith("a") else text)


def test_aliases_unfold_into_so_much_and_no_more():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert load_located("\n".join(lines[:3])).value["a2"][9][9] == ["x"] * 10
    with pytest.raises(YamlError, match="line 5: more than 100,000"):
        load_located("\n".join(lines))
