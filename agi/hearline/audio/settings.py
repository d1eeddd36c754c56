"""Every number the ears depend on, in one place, with its unit in its name.

Sources: the measured recipe for telephone audio (see each comment); ITU-T P.56 for the active level.
What a timer profile may set for its calls is in `CallSettings`; the rest is one for all calls.
"""

from dataclasses import dataclass

SAMPLE_RATE_HZ = 8000
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000  # 160


ONSET_EVIDENCE = {"low": 4.0, "normal": 8.0, "high": 12.0}
"""By how sure a profile wants the ears to be that somebody speaks: one, two or three windows beyond doubt. Known after
80, 120 or 160 ms (median; p95 290, 360, 480); of noise and music 2, 0.4 or 0.4 % are taken for speech, of crowds and
babble at odd levels 20, 11 or 7 %, of coughs and clicks 29, 19 or 16 % (the held-out part of `bench/ears`)."""


@dataclass(frozen=True)
class CallSettings:
    """What may differ from call to call."""

    too_soft_dbov: float = -38.0
    normal_dbov: float = -35.0
    """Who was too soft counts as normal again from here (hysteresis); whoever is under it is raised first."""
    stop_ms: int = 700
    """Speech has ended after so much silence; 95 % of the gaps inside talk are shorter than 577 ms. At most 3 s: a line
    that carries nothing for longer is not listened to."""
    onset_evidence: float = ONSET_EVIDENCE["normal"]
    """Speech starts at this sum of log odds; see `EarSettings`."""
    sign_of_life: bool = True
    """A single sound (a knock, a click, a cough) since the question makes a line that is silent otherwise noise. False:
    it takes a line that carries noise most of the time."""


@dataclass(frozen=True)
class EarSettings(CallSettings):
    """How a caller's line is judged. The defaults were measured on recorded prompts in several languages."""

    # Is it the caller? The networks' answer, 0…1, one per 32 ms window.
    speech_probability_keep: float = 0.35
    """Once somebody speaks, a window counts as speech down to here."""
    spare_probability: float = 0.9
    spare_windows: int = 2
    """While somebody speaks as clearly as this, the networks are not asked about so many windows in a row."""
    maybe_probability: float = 0.3
    """Worth waiting a little longer for (see `Detector.maybe_speech`)."""
    maybe_window_ms: int = 600
    input_gain_db: float = 12.0
    """Raises the sound for the network only: soft callers are heard."""

    # When does speech start? The log odds of the windows are added up, never below 0, to `onset_evidence`.
    starting_evidence: float = 1.0
    """It may be about to from here."""
    least_evidence: float = -1.5
    most_evidence: float = 4.0
    """No window counts for more, nor for less, than this."""
    gate_fast_dbov: float = -60.0
    """The loudest 100 ms of the last 300 ms must reach this."""
    onset_backdate_ms: int = 120
    """How long before the decision speech began (the decision's median delay)."""

    # Cheap tests before the networks: where nobody can be speaking, they rest.
    warm_up_ms: int = 1000
    """Before this there is hardly a floor to compare with."""
    network_rest_dbov: float = -66.0
    """Softer than this is silence."""
    network_rest_dynamics_db: float = 5.0
    """A level that moves less than this over the floor is steady noise or hum."""
    network_hush_dynamics_db: float = 1.5
    """After speech it is silence only where the level lies no further than this over the floor."""

    # Tones (DTMF, ringback, busy): nearly all energy in one or two steady lines.
    tone_lowest_hz: float = 330.0
    """Lines below this are a voice's pitch or hum, not a telephone tone."""
    tone_share: float = 0.9
    key_from_dbov: float = -45.0
    """Keys are louder."""
    key_share: float = 0.5
    """No speech starts where a key pressed (DTMF) holds so much of the energy of the last 320 ms. It was 0.94 and more
    of the keys that were taken for speech, at most 0.04 of 900 voices."""

    # Echo of our own prompt. How far under what was played is the sound?
    echo_never_under_db: float = 14.0
    """Less than this: hardly an echo, unless what was played explains more than `echo_explained_share` of it."""
    echo_explained_share: float = 0.5
    """Otherwise it is the caller if what was played explains less than `echo_unexplained_share` of it, smoothed by
    `echo_smoothing` over some askings, `echo_hold_ms` from one to the next."""
    echo_unexplained_share: float = 0.12
    echo_smoothing: float = 0.5
    echo_hold_ms: int = 60
    echo_below_dbov: float = -53.0
    """While we play, softer sounds than this are always taken for an echo: too little is left to foretell."""
    echo_look_share: float = 0.3
    """At a look at the background, what was played explains so much of an echo: of 260 in rooms 92 % had more, of 400
    doors, knocks and clicks 5 %."""
    echo_spread_db: float = 8.0
    """What it does not explain is an echo all the same where it is no further than this over the loudest echo so far,
    both against what was played; that one is forgotten by `echo_forgotten_db` a look."""
    echo_forgotten_db: float = 0.1

    # How loud is the speech? Active level, ITU-T P.56 method B.
    provisional_speech_ms: int = 1000
    final_speech_ms: int = 2000
    """So much speech gives a first and a final verdict on the level (error about 1.2 and 0.5 dB)."""
    near_ms: int = 300
    loudest_over_normal_db: float = 1.0
    """Who was so far over `normal_dbov` for about `near_ms` has been heard, however soft the rest is. Of callers at −32
    dBov 98 % are, half of them with a single word, and 3 % of background talkers at −41."""
    loudest_over_others_db: float = 12.0
    """The same of who is not too soft, and so far over what was too soft before them: they are somebody else."""
    loudest_over_db: float = 6.0
    """The active level is told no further than this under the loudest `near_ms`."""
    beside_db: float = 15.0
    """Beside somebody at a normal level, what is so far under their loudest is somebody else, or something."""
    clipping_from: int = 32000
    """|sample| from here is clipped; G.711 tops out at 32256 (A-law) and 32124 (mu-law)."""

    # What does the line carry while nobody speaks?
    digital_silence_dbov: float = -70.0
    """Digital zeros; A-law's idle code decodes to ±8, which is −72 dBov."""
    silence_dbov: float = -60.0
    silence_share: float = 0.5
    """No signal: so many of the 200 ms levels lie under `silence_dbov`."""
    sound_rise_db: float = 10.0
    """A single sound lies so far over most of what else is there."""
    hum_below_dbov: float = -35.0
    hum_correlation: float = 0.8
    """Hum repeats after 100 ms, whether 50 or 60 Hz."""
    comfort_noise_below_dbov: float = -48.0
    comfort_noise_spread_db: float = 1.5
    """Comfort noise is soft and steady: 10–90 % spread of the 200 ms levels."""
    background_settled_ms: int = 2000
    """A verdict on a line without speech is final after so long."""


DEFAULT = EarSettings()
