"""YAML with the line of everything in it."""

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
        ("a: 1\nb: [\n", 3, "not valid YAML"),
        ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands here a second time (first in line 1)"),
        ("a: 1\nb: &x [*x]\n", 2, "an anchor that holds itself"),
        ("? [1, 2]\n: 3\n", 1, "not valid YAML"),
        ("a: \x07\n", 1, "not valid YAML"),
    ],
)
def test_what_cannot_be_taken_has_a_line_and_a_remedy(text, line, says):
    with pytest.raises(YamlError) as told:
        load_located(text)
    [(where, problem, remedy)] = told.value.problems
    assert where == line and says in problem and remedy
