"""All numbers that the ears depend on, each with its unit in its name.

Sources: measurements on telephone audio (see each comment); ITU-T P.56 for the active level.
`CallSettings` holds what a timer profile may set for its calls; everything else is the same for all calls.
"""

from dataclasses import dataclass

SAMPLE_RATE_HZ = 8000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000  # 160


ONSET_EVIDENCE = {"low": 4.0, "normal": 8.0, "high": 12.0}
"""The evidence for speech that a profile's `speech_certainty` demands: one, two or three windows beyond doubt.
Speech is detected after 80, 120 or 160 ms (median; p95 290, 360, 480). Taken for speech: 2, 0.4 or 0.4 % of noise and
music; 20, 11 or 7 % of crowds and babble at odd levels; 29, 19 or 16 % of coughs and clicks (the held-out part of
`bench/ears`)."""


@dataclass(frozen=True)
class CallSettings:
    """The settings that may differ from call to call."""

    too_soft_dbov: float = -38.0
    normal_dbov: float = -35.0
    """A caller who was too soft counts as normal again from this level (hysteresis). Lines below it are raised before
    the caller is asked to speak up."""
    stop_ms: int = 700
    """Speech has ended after this much silence; 95 % of the gaps inside talk are shorter than 577 ms. At most 3 s,
    since lines that are silent for longer are not processed."""
    onset_evidence: float = ONSET_EVIDENCE["normal"]
    """Speech starts at this sum of log odds; see `EarSettings`."""
    sign_of_life: bool = True
    """True: a single sound since the question (a knock, a click, a cough) makes an otherwise silent line noise. False:
    a line must carry noise most of the time."""


@dataclass(frozen=True)
class EarSettings(CallSettings):
    """How the ears judge a line. The defaults were measured on recorded prompts in several languages."""

    # Is it the caller? The networks answer with a probability, 0…1, for each window of 32 ms.
    speech_probability_keep: float = 0.35
    """While somebody is speaking, a window counts as speech from this probability."""
    spare_probability: float = 0.9
    spare_windows: int = 2
    """After a window with at least `spare_probability`, the networks skip this many windows."""
    maybe_probability: float = 0.3
    """From this probability it is worth waiting a little longer; see `Detector.maybe_speech`."""
    maybe_window_ms: int = 600
    input_gain_db: float = 12.0
    """Applied to the network's input only, so that it hears soft callers."""

    # When does speech start? When the sum of the windows' log odds, kept from going below 0, reaches `onset_evidence`.
    starting_evidence: float = 1.0
    """From this sum, speech may be about to start."""
    least_evidence: float = -1.5
    most_evidence: float = 4.0
    """Limits of what one window adds."""
    gate_fast_dbov: float = -60.0
    """The loudest 100 ms of the last 300 ms must reach this."""
    onset_backdate_ms: int = 120
    """How long before the decision speech is taken to have begun (the decision's median delay)."""

    # Cheap tests before the networks, which rest on lines where nobody can be speaking.
    warm_up_ms: int = 1000
    """Before this the noise floor is not reliable."""
    network_rest_dbov: float = -66.0
    """Below this is silence."""
    network_rest_dynamics_db: float = 5.0
    """A level less than this above the floor is steady noise or hum."""
    network_hush_dynamics_db: float = 1.5
    """After speech, only a level less than this above the floor is silence."""

    # Tones (DTMF, ringback, busy): nearly all energy in one or two steady lines.
    tone_lowest_hz: float = 330.0
    """Lines below this are a voice's pitch or hum, not a telephone tone."""
    tone_share: float = 0.9
    key_from_dbov: float = -45.0
    """Keys are louder."""
    key_share: float = 0.5
    """Speech does not start if DTMF tones hold this share of the energy of the last 320 ms. The share was at least 0.94
    in keys that were taken for speech, and at most 0.04 in 900 voices."""

    # Echo of our own prompt. The prompt, filtered, may "explain" (predict) a share of the sound's power; see `echo.py`.
    echo_never_under_db: float = 14.0
    """A sound less than this below the prompt is an echo only if the prompt explains over `echo_explained_share` of
    it."""
    echo_explained_share: float = 0.5
    echo_unexplained_share: float = 0.12
    """A softer sound is the caller if the prompt explains less than this share of it, smoothed by `echo_smoothing` over
    several checks, `echo_hold_ms` apart."""
    echo_smoothing: float = 0.5
    echo_hold_ms: int = 60
    echo_below_dbov: float = -53.0
    """While we play, sounds below this level are always taken for echo: they are too soft to be predicted."""
    echo_look_share: float = 0.3
    """In a look at the background, a sound is an echo if the prompt explains more than this share. That held for 92 %
    of 260 echoes in rooms, and for 5 % of 400 doors, knocks and clicks."""
    echo_spread_db: float = 8.0
    """A sound that the prompt does not explain is still an echo if it lies at most this far above the loudest echo so
    far, both relative to the prompt. The loudest echo decays by `echo_forgotten_db` per look."""
    echo_forgotten_db: float = 0.1

    # How loud is the speech? Active level, ITU-T P.56 method B.
    provisional_speech_ms: int = 1000
    final_speech_ms: int = 2000
    """The amount of speech for a first and a final verdict on the level (error about 1.2 and 0.5 dB)."""
    near_ms: int = 300
    loudest_over_normal_db: float = 1.0
    """A caller who was this far above `normal_dbov` for about `near_ms` is not too soft, however soft the rest is. This
    holds for 98 % of callers at −32 dBov, half of them after one word, and for 3 % of background talkers at −41."""
    loudest_over_others_db: float = 12.0
    """The same holds for a voice above `too_soft_dbov` that is this far above the soft speech before it: it is
    another speaker."""
    loudest_over_db: float = 6.0
    """The reported active level is at most this far below the loudest `near_ms`."""
    beside_db: float = 15.0
    """Once somebody has spoken at a normal level, sound this far below their loudest is not theirs."""
    clipping_from: int = 32000
    """|sample| from here counts as clipped; G.711 tops out at 32256 (A-law) and 32124 (mu-law)."""

    # What does the line carry while nobody speaks?
    digital_silence_dbov: float = -70.0
    """Digital silence lies below this; A-law's idle code decodes to ±8, which is −72 dBov."""
    silence_dbov: float = -60.0
    silence_share: float = 0.5
    """No signal if this share of the 200 ms levels lies below `silence_dbov`."""
    sound_rise_db: float = 10.0
    """A single sound lies this far above the median level."""
    hum_below_dbov: float = -35.0
    hum_correlation: float = 0.8
    """Hum repeats after 100 ms, whether 50 or 60 Hz."""
    comfort_noise_below_dbov: float = -48.0
    comfort_noise_spread_db: float = 1.5
    """Comfort noise is soft and steady: the largest 10–90 % spread of its 200 ms levels."""
    background_settled_ms: int = 2000
    """The verdict on a line without speech is final after this time."""


DEFAULT = EarSettings()
