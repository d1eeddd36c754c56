"""`hearline listen`: whole files, and the command."""

import json
import shutil

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from audio_corpus import CLIPS, RATE, call, hum, over_a_line, speech, street, tone, white
from hearline.audio.listen import SIDE_BY_SIDE, listen, listen_all, listen_to_files
from hearline.audio.wav import BadAudio
from hearline.cli.listen import listen as command
from test_wav import wav

KEYS = [
    "file",
    "duration_ms",
    "verdict",
    "speech_onset_ms",
    "speech_ms",
    "active_level_dbov",
    "noise_level_dbov",
]

app = typer.Typer()
app.command()(command)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path):
    """Five files, one of each verdict and a bad one: {name: path}."""
    sounds = {
        "normal": call(speech(CLIPS[1], -26)),
        "soft": call(speech(CLIPS[2], -46)),
        "street": street(4, -30),
        "hum": hum(4, 50, -45),
    }
    paths = {name: tmp_path / f"{name}.wav" for name in [*sounds, "bad"]}
    for name, x in sounds.items():
        paths[name].write_bytes(wav(over_a_line(x).tobytes()))
    paths["bad"].write_bytes(b"RIFF....nonsense")
    return paths


@pytest.mark.parametrize("path", CLIPS, ids=lambda path: path.name)
def test_trimmed_speech_is_speech(path):
    heard = listen(over_a_line(speech(path, -26)))
    hearing = heard.hearing
    assert hearing.verdict == "speech"
    assert hearing.active_level_dbov == pytest.approx(-26, abs=2)
    assert 0 <= hearing.speech_onset_ms < 500 and 0 < hearing.speech_ms <= heard.duration_ms


@pytest.mark.parametrize(
    ("sound", "verdict", "reason"),
    [
        (np.zeros(RATE), "no_signal", "digital_silence"),
        (white(10, -55), "no_signal", "comfort_noise"),
        (hum(10, 60, -45), "no_signal", "hum"),
        (street(10, -30), "noise", "noise"),
        (tone(10, (450,), -20, 1, 4), "noise", "tone"),
        (white(0.05, -30), "noise", "noise"),
        (np.concatenate([np.zeros(6 * RATE), street(4, -30)]), "noise", "noise"),
        (call(speech(CLIPS[1], -46)), "too_soft", "soft"),
    ],
)
def test_whole_recordings(sound, verdict, reason):
    heard = listen(over_a_line(sound))
    assert (heard.hearing.verdict, heard.hearing.reason, heard.hearing.final) == (verdict, reason, True)
    assert heard.duration_ms == round(sound.size / 8)


def test_results_come_in_order_whatever_the_length():
    lengths = np.random.default_rng(0).integers(100, 9000, 2 * SIDE_BY_SIDE + 5)
    heard = list(listen_all(np.zeros(n, np.int16) for n in lengths))
    assert [each.duration_ms for each in heard] == [round(n / 8) for n in lengths]


def test_a_bad_file_does_not_stop_the_others(files):
    results = dict(listen_to_files([files["normal"], files["bad"], files["hum"]]))
    assert results[files["normal"]].hearing.verdict == "speech"
    assert isinstance(results[files["bad"]], BadAudio)
    assert results[files["hum"]].hearing.reason == "hum"


def test_json_is_one_line_a_file_in_order(files):
    result = run("--json", *files.values())
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(row)[:7] for row in rows] == [KEYS] * 4
    assert [row["verdict"] for row in rows] == ["speech", "too_soft", "noise", "no_signal"]
    assert rows[2]["speech_onset_ms"] is None and rows[2]["active_level_dbov"] is None
    assert result.exit_code == 2
    assert "bad.wav" in result.stderr and "RIFF" in result.stderr


def test_table_for_people(files):
    result = run(files["normal"], files["soft"])
    assert result.exit_code == 0
    assert "too_soft" in result.stdout and "speech" in result.stdout


def test_names_never_wrap_in_a_table(files, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    long = shutil.copy(files["soft"], tmp_path / ("a-recording-of-" + "eighty-columns-" * 6 + "[bold].wav"))
    lines = run(files["normal"], long).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [[str(files["normal"]), "speech"], [str(long), "too_soft"]]
    assert len(lines) == 4, "head, two rows, caption"


@pytest.mark.parametrize(
    ("gain", "told", "shown"),
    [
        ([], (9, "speech"), True),
        (["--line-gain", "5"], (5, "too_soft"), False),
        (["--line-gain", "0"], (0, "too_soft"), False),
    ],
)
def test_what_a_call_would_make_of_it_once_raised(files, flows, gain, told, shown):
    rows = [json.loads(line) for line in run("--json", *gain, files["soft"], files["normal"]).stdout.splitlines()]
    assert [row["verdict"] for row in rows] == ["too_soft", "speech"], "as it came"
    assert [(row["gain_db"], row["raised_verdict"]) for row in rows] == [told, (0, "speech")]
    assert ("too_soft (speech at +9 dB)" in run(*gain, files["soft"]).stdout) == shown
    assert flows.flows["hotline"].plan.max_gain_db == 9, "what is taken where nothing is said"


def test_help_teaches():
    text = run("--help").stdout
    for word in ("no_signal", "too_soft", "dBov", "--json", "Exit status"):
        assert word in text
