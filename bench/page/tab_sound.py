"""What a browser's tab plays, recorded as a softphone's recording is: 8 kHz, 16 bit, with its time.

Only what can be heard counts: a call's sound is recorded as silence while no audio element plays it. All moments are
monotonic s.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from playwright.sync_api import Page

from hearline.audio.resample import resample
from hearline.phone.heard import RATE

GAP_S = 0.06  # a part that comes so much later than the one before ended has silence before it
LOUD = 100  # of 32,768: sound, and not dither
ASKED_S = 0.002  # until the tab reads its clock
TAP = """(() => {
    const tapped = new Map();
    const remote = new WeakSet();
    const players = new Set();
    window.hearlineTapped = tapped;
    const heard = (track) => [...players].some((one) =>
        !one.paused && !one.muted && one.volume > 0 && one.srcObject?.getTracks().includes(track));
    const listen = async (track) => {
        if (tapped.has(track) || track.kind !== "audio") return;
        const tap = { call: remote.has(track), parts: [] };
        tapped.set(track, tap);
        const sound = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
        for (let got = await sound.read(); !got.done; got = await sound.read()) {
            const [data, part] = [got.value, new Float32Array(got.value.numberOfFrames)];
            data.copyTo(part, { planeIndex: 0, format: "f32-planar" });
            const whole = new Int16Array(part.length);
            if (heard(track)) part.forEach((one, at) => (whole[at] = Math.max(-1, Math.min(1, one)) * 32767));
            tap.parts.push([data.timestamp / 1e6, data.sampleRate, whole]);
            data.close();
        }
    };
    const Connection = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Connection {
        constructor(...how) {
            super(...how);
            this.addEventListener("track", ({ track }) => remote.add(track));
        }
    };
    const source = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "srcObject");
    Object.defineProperty(HTMLMediaElement.prototype, "srcObject", {
        ...source,
        set(stream) {
            source.set.call(this, stream);
            players.add(this);
            for (const track of stream?.getAudioTracks() ?? []) listen(track);
            stream?.addEventListener("addtrack", ({ track }) => listen(track));
        },
    });
})()"""
"""A script to run before the page's own scripts."""
_TAKE = """() => [performance.now() / 1e3, [...window.hearlineTapped.values()].map(({ call, parts }) => {
    const samples = new Int16Array(parts.reduce((n, part) => n + part[2].length, 0));
    parts.reduce((at, part) => (samples.set(part[2], at), at + part[2].length), 0);
    const bytes = new Uint8Array(samples.buffer);
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768)
        text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return [call, parts.map(([at, rate, part]) => [at, rate, part.length]), btoa(text)];
})]"""


@dataclass
class Sound:
    """What a tab played from one source: a call, or (``call`` False) the page itself, such as its ring.

    began: the moment of the first sample. samples: 8 kHz, 16-bit scale.
    """

    call: bool
    began: float
    samples: np.ndarray

    def since(self, moment: float) -> np.ndarray:
        return self.samples[max(0, round((moment - self.began) * RATE)) :]

    def between(self, begin: float, end: float) -> np.ndarray:
        return self.since(begin)[: max(0, round((end - max(begin, self.began)) * RATE))]

    @property
    def first_heard(self) -> float | None:
        """When something could be heard first."""
        loud = np.flatnonzero(np.abs(self.samples) > LOUD)
        return self.began + loud[0] / RATE if loud.size else None


def sounds(page: Page) -> list[Sound]:
    """Everything that the tab has played so far, in the order in which it began."""
    before = time.monotonic()
    now, taps = page.evaluate(_TAKE)  # the tab reads its clock first, and then collects
    offset = before + ASKED_S - now
    found = [_sound(call, parts, base64.b64decode(pcm), offset) for call, parts, pcm in taps if parts]
    return sorted(found, key=lambda sound: sound.began)


def _sound(call: bool, parts: list[tuple[float, int, int]], pcm: bytes, offset: float) -> Sound:
    samples, at = np.frombuffer(pcm, "<i2").astype(np.float32), 0
    began = ends = parts[0][0]
    line: list[tuple[int, np.ndarray]] = []  # (rate, samples), as the rate changes with the codec that is received
    for begins, rate, size in parts:
        if begins - ends > GAP_S:
            line.append((rate, np.zeros(round((begins - ends) * rate), np.float32)))
            ends = begins
        line.append((rate, samples[at : at + size]))
        at += size
        ends += size / rate
    runs = [(rate, [part for _, part in run]) for rate, run in groupby(line, key=lambda part: part[0])]
    whole = np.concatenate([resample(np.concatenate(run), rate, RATE) for rate, run in runs])
    return Sound(call, offset + began, np.clip(whole, -32_768, 32_767).astype(np.int16))
