"""The sources of the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hearline.core.settings import Settings, address


def test_a_given_setting_wins_over_the_environment_and_that_over_the_default(monkeypatch):
    monkeypatch.setenv("HEARLINE_STATE", "/srv/hearline")
    monkeypatch.setenv("HEARLINE_AGI", "127.0.0.1:14573")
    settings = Settings(state="/elsewhere")
    assert settings.state == Path("/elsewhere")
    assert settings.agi == "127.0.0.1:14573"
    assert settings.media == "127.0.0.1:9092"


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("HEARLINE_ALLOW", "")
    assert Settings().allow == "127.0.0.0/8"


def test_a_setting_that_there_is_not_is_an_error():
    with pytest.raises(ValidationError, match="stat"):
        Settings(stat="/srv")


@pytest.mark.parametrize("text", ["foo", "127.0.0.1", "4573", "127.0.0.1:x", "127.0.0.1:65536"])
def test_an_address_has_a_port(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        address(text)


def test_where_numbers_are_from():
    assert Settings(country="US").home.country == "US" and Settings(area_code="10").home.area == "10"
    for wrong in ({"country": "China"}, {"country": "XX"}, {"area_code": "010"}, {"area_code": "ten"}):
        with pytest.raises(ValidationError):
            Settings(**wrong)
