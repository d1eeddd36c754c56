"""Each caller has one normal number, however it is written, and two callers never have the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hearline.core.numbers import Home, masked, normal

MOBILE = "+8613800005678"
BEIJING = Home("CN", "10")
NEW_YORK = Home("US")


@pytest.mark.parametrize(
    "written",
    [
        "13800005678",
        "013800005678",
        "8613800005678",
        "+8613800005678",
        "008613800005678",
        "+86 138 0000 5678",
        "0086-138-0000-5678",
        "tel:+8613800005678",
        "sip:13800005678@192.0.2.1",
        "13800005678;phone-context=+86",
        "13800005678;phone-context=ims.example.net",
        "+8613800005678;phone-context=+1",
        "13800005678#12",
        "13800005678,,12",
        "17951013800005678",  # a carrier's prefix that the network has left
        "1795113800005678",
        "１３８００００５６７８",  # full-width
        "＋８６１３８００００５６７８",
        "١٣٨٠٠٠٠٥٦٧٨",  # Arabic
        "\u202a+8613800005678\u202c",  # invisible, from a telephone book
    ],
)
def test_one_caller_is_one_number(written):
    assert normal(written) == MOBILE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+13805551234", "13805551234"),  # USA and China
        ("0013805551234", "13805551234"),
        ("+85212345678", "85212345678"),  # Hong Kong, or nobody knows
        ("3805551234;phone-context=+1", "3805551234"),
        ("8001", "8002"),
    ],
)
def test_two_callers_are_two_numbers(one, other):
    assert normal(one) != normal(other)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("+13805551234", "+13805551234"),
        ("0013805551234", "+13805551234"),
        ("010-65123456", "+861065123456"),
        ("8601065123456", "+861065123456"),
        ("1065123456", "+861065123456"),
        ("65123456", "65123456"),  # whose area?
        ("400-123-4567", "+864001234567"),
        ("95160", "95160"),
        ("+95160", "95160"),  # a trunk that writes a plus before everything
        ("+8695160", "95160"),
        ("008695160", "95160"),
        ("9５1６0", "95160"),
        ("8001", "8001"),
        ("85212345678", "85212345678"),
        ("anonymous", ""),
        ("<unknown>", ""),
        ("unknown", ""),
        ("phone003", ""),  # the name of an account: else all accounts with a 3 would be one caller
        ("1-800-FLOWERS", ""),
        ("*72", ""),
        ("", ""),
        ("+", ""),
        ("1" * 40, ""),
    ],
)
def test_forms(written, form):
    assert normal(written) == form


def test_a_site_knows_its_area_and_country():
    assert normal("65123456", BEIJING) == normal("010-65123456") == "+861065123456"
    assert normal("95160", BEIJING) == "95160" and normal("95105555", BEIJING) == "95105555", "services have no area"
    assert normal("3805551234", NEW_YORK) == "+13805551234"
    assert normal("+8613800005678", NEW_YORK) == MOBILE


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("13800005678", "138****5678"),
        ("+8613800005678", "138****5678"),
        ("01065123456", "****3456"),
        ("+13805551234", "+1****1234"),
        ("+85212345678", "+852****5678"),
        ("+82000", "**0"),
        ("8001", "**1"),
        ("anonymous", ""),
        ("", ""),
    ],
)
def test_of_a_number_the_last_digits_are_shown(number, shown):
    assert masked(number) == shown


@given(
    st.text(alphabet=st.characters(), max_size=60) | st.from_regex(r"\+?[0-9;=#*, -]{0,40}", fullmatch=True),
    st.sampled_from([Home(), Home("CN", "10"), Home("US")]),
)
@example("+001", Home())
@example("+8600032255", Home())
@example("+8658112118", Home("CN", "10"))
def test_whatever_comes_the_form_is_digits_and_stays_as_it_is(number, home):
    form = normal(number, home)
    assert form == "" or form.removeprefix("+").isascii() and form.removeprefix("+").isdigit()
    assert normal(form, home) == form
    assert sum(map(str.isdigit, masked(number, home))) < max(2, len(form.removeprefix("+")))
