"""The pictures of `hearline listen --png`: the content of the figure, not its pixels; and the messages to people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audio_corpus import CLIPS, RATE, call, hum, over_a_line, speech, street, tone, white
from hearline.audio.listen import listen_all
from hearline.audio.vad.snapshots import segments
from hearline.pictures import ears
from test_listen import files, run  # noqa: F401
from test_wav import wav

PNG = b"\x89PNG\r\n\x1a\n"
LINES = {
    "speech": call(speech(CLIPS[1], -26)),
    "soft": call(speech(CLIPS[2], -46)),
    "street": street(6, -30),
    "tone": tone(10, (450,), -20, 1, 4),
    "comfort": white(10, -55),
    "hum": hum(6, 50, -45),
    "silence": np.zeros(3 * RATE),
    "blip": white(0.05, -30),
    "a long one": np.concatenate([call(speech(clip, -26), 4, 5) for clip in CLIPS[:6]]),
}
TITLES = {
    "speech": ("speech  ·  有人说话", "can be heard  ·  能听清"),
    "soft": ("too soft  ·  声音太小", "too softly  ·  有人说话，但声音太小"),
    "street": ("noise  ·  只有噪声", "nobody speaks  ·  有声音，但无人说话"),
    "tone": ("noise  ·  只有噪声", "tones, nobody speaks  ·  信号音，无人说话"),
    "comfort": ("no signal  ·  没有声音", "comfort noise, nobody speaks  ·  舒适噪声，无人说话"),
    "hum": ("no signal  ·  没有声音", "mains hum, nobody speaks  ·  交流声，无人说话"),
    "silence": ("no signal  ·  没有声音", "digital silence  ·  全静音"),
    "blip": ("noise  ·  只有噪声", "无人说话"),
    "a long one": ("speech  ·  有人说话", "能听清"),
}


@pytest.fixture(scope="module")
def recordings():
    lines = [over_a_line(line) for line in LINES.values()]
    return dict(zip(LINES, zip(lines, listen_all(lines, looks=True))))


def shown(recordings, name: str, **more) -> ears.Heard:
    samples, heard = recordings[name]
    return ears.Heard(
        f"{name}.wav",
        heard.looks,
        heard.hearing,
        heard.duration_ms,
        **{"samples": samples} | more,
    )


def lines(axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {line.get_label(): line.get_data() for line in axes.get_lines()}


def texts(axes, gid: str) -> list[str]:
    return [text.get_text().strip() for text in axes.texts if text.get_gid() == gid]


@pytest.mark.parametrize("name", LINES)
def test_every_kind_is_drawn_with_its_verdict(recordings, name, tmp_path):
    heard = shown(recordings, name)
    figure = ears.draw(heard)
    title, reason, about, _ = [text.get_text() for text in figure.texts]
    assert title.startswith(TITLES[name][0]) and reason.endswith(TITLES[name][1])
    assert f"{name}.wav" in about and f"{heard.end_ms / 1000:.1f} s" in about
    assert ("dBov" in title) == (heard.hearing.active_level_dbov is not None)
    picture = tmp_path / "a" / "picture.png"
    ears.save(picture, heard)
    assert picture.read_bytes().startswith(PNG) and picture.stat().st_size > 10_000


def test_levels_noise_and_thresholds_are_those_of_the_ears(recordings):
    heard = shown(recordings, "speech")
    axes = ears.draw(heard).axes[0]
    drawn = lines(axes)
    assert drawn["too soft"][1][0] == -38 and drawn["normal"][1][0] == -35
    at, level = drawn["level"]
    assert at[1] - at[0] == 20 and len(at) >= heard.end_ms / 20
    quiet = (at > 200) & (at < 1_300)
    assert np.median(level[quiet]) == pytest.approx(-63, abs=1)
    assert drawn["noise"][1][-1] == pytest.approx(heard.hearing.noise_level_dbov)
    assert drawn["active level"][1][-1] == pytest.approx(heard.hearing.active_level_dbov)
    assert texts(axes, "name") == [
        f"noise {heard.hearing.noise_level_dbov:.1f}".replace("-", "−"),
        "too soft under −38",
        "normal from −35",
        f"speech {heard.hearing.active_level_dbov:.1f}".replace("-", "−"),
    ]


def test_speech_is_where_the_ears_say(recordings):
    heard = shown(recordings, "a long one")
    axes = ears.draw(heard).axes[0]
    parts = segments(heard.looks)
    assert len(parts) >= 5
    shaded = [
        (patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches if patch.get_gid() == "speech"
    ]
    assert shaded == [(part.onset_ms, part.end_ms) for part in parts]
    onsets = [line.get_xdata()[0] for line in axes.get_lines() if line.get_gid() == "onset"]
    known = [line.get_xdata()[0] for line in axes.get_lines() if line.get_gid() == "known"]
    assert onsets == [part.onset_ms for part in parts] and known == [part.started_ms for part in parts]
    assert texts(axes, "times")[0] == f"{parts[0].onset_ms / 1000:.2f} … {parts[0].end_ms / 1000:.2f} s"


def test_who_does_not_speak_is_drawn_without_speech(recordings):
    for name in ("street", "tone", "comfort", "hum", "silence"):
        axes = ears.draw(shown(recordings, name)).axes[0]
        assert "active level" not in lines(axes) and not texts(axes, "times")
        assert not [patch for patch in axes.patches if patch.get_gid() == "speech"]


def test_the_strips_say_what_it_was_taken_for(recordings):
    figure = ears.draw(shown(recordings, "soft"))
    _, state, verdict, spectrum = figure.axes
    order = [patch.get_gid() for patch in state.patches]
    assert order[0] == "QUIET" and {"SPEAKING", "STOPPING"} <= set(order)
    assert [patch.get_gid() for patch in verdict.patches] == ["no_signal", "too_soft"]
    assert spectrum.images


def test_a_live_call_has_no_sound_but_the_steps_of_its_flow(recordings):
    figure = ears.draw(shown(recordings, "soft", samples=None, marks=[(100, "opening"), (4_000, "low_1")]))
    assert len(figure.axes) == 3
    assert texts(figure.axes[0], "mark") == ["opening", "low_1"]


def test_names_do_not_lie_on_one_another(recordings):
    heard = shown(recordings, "a long one")
    close = replace(heard.hearing, active_level_dbov=-36.0, noise_level_dbov=-37.0)
    axes = ears.draw(replace(heard, hearing=close)).axes[0]
    heights = sorted(text.xy[1] for text in axes.texts if text.get_gid() == "name")
    assert min(np.diff(heights)) > 4


def test_without_a_chinese_font_the_words_are_english(recordings):
    figure = ears.draw(replace(shown(recordings, "soft"), name="录音.wav"), chinese=False)
    assert all(text.get_text().isascii() or "·" in text.get_text() or "−" in text.get_text() for text in figure.texts)
    assert "声" not in "".join(text.get_text() for text in figure.texts)


# ---- the command -----------------------------------------------------------------------------------------------------
def test_one_file_one_picture(files, tmp_path):  # noqa: F811
    answer = run("--png", tmp_path / "seen.png", files["normal"])
    assert answer.exit_code == 0 and "seen.png" in answer.stdout
    assert (tmp_path / "seen.png").read_bytes().startswith(PNG)


def test_a_folder_of_pictures_each_under_its_name(files, tmp_path):  # noqa: F811
    out = tmp_path / "pictures"
    answer = run("--json", "--png", out, *files.values())
    assert answer.exit_code == 2, "one of them could not be read"
    assert sorted(file.name for file in out.iterdir()) == ["hum.png", "normal.png", "soft.png", "street.png"]
    assert f'"picture": "{out}/normal.png"' in answer.stdout


def test_files_of_one_name_in_several_folders_do_not_overwrite_each_other(tmp_path):
    sounds = [tmp_path / "1-speaks" / "said.wav", tmp_path / "2-silent" / "said.wav"]
    for sound in sounds:
        sound.parent.mkdir()
        sound.write_bytes(wav(over_a_line(white(1, -40)).tobytes()))
    answer = run("--png", tmp_path / "out", *sounds, sounds[0])
    assert answer.exit_code == 0
    names = ["1-speaks-said-2.png", "1-speaks-said.png", "2-silent-said.png"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names


def test_one_picture_has_no_room_for_two_files(files, tmp_path):  # noqa: F811
    answer = run("--png", tmp_path / "seen.png", files["normal"], files["hum"])
    assert answer.exit_code == 2 and "name a folder" in answer.stderr
    assert not (tmp_path / "seen.png").exists()


def test_other_kinds_of_pictures_are_refused(files, tmp_path):  # noqa: F811
    answer = run("--png", tmp_path / "seen.svg", files["normal"])
    assert answer.exit_code == 2 and "PNG" in answer.stderr


def test_a_place_that_cannot_be_written_to(files, tmp_path):  # noqa: F811
    (tmp_path / "file").touch()
    answer = run("--png", tmp_path / "file" / "seen.png", files["normal"])
    assert answer.exit_code == 1 and "cannot be written" in answer.stderr and "--png" in answer.stderr


def test_without_matplotlib_the_remedy_is_named_before_anything_is_heard(files, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = run("--png", tmp_path / "seen.png", files["normal"])
    assert answer.exit_code == 1 and answer.stdout == ""
    assert "matplotlib" in answer.stderr and "pip install 'hearline[picture]'" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give WAV files, or --call ID"),
        (["x.wav", "--call", "a"], "not both"),
        (["x.wav", "--server", "a:1"], "--call"),
    ],
)
def test_files_or_a_call(arguments, says):
    answer = run(*arguments)
    assert answer.exit_code == 2 and says in answer.stderr
