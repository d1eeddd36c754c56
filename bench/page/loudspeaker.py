"""The sound from a page's loudspeaker: taps it in the browser, and compares it with a recording."""

from __future__ import annotations

import base64

import numpy as np
from playwright.sync_api import Page

from hearline.audio.resample import resample

RATE = 8_000
TAP = """(() => {
    // Connect everything that goes to the loudspeaker to our tap as well, which buffers while the page is busy.
    const connect = AudioNode.prototype.connect;
    window.heard = [];
    const listen = async (node) => {
        const track = node.stream.getAudioTracks()[0];
        const sound = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
        for (let got = await sound.read(); !got.done; got = await sound.read()) {
            const part = new Float32Array(got.value.numberOfFrames);
            got.value.copyTo(part, { planeIndex: 0, format: "f32-planar" });
            got.value.close();
            window.heard.push(part);
        }
    };
    AudioNode.prototype.connect = function (to, ...more) {
        if (to instanceof AudioDestinationNode) {
            if (!window.tap) listen((window.tap = new MediaStreamAudioDestinationNode(this.context)));
            connect.call(this, window.tap);
        }
        return connect.call(this, to, ...more);
    };
})()"""
"""A script to run before the page's own scripts."""
_HEARD = """() => {
    const samples = new Float32Array(window.heard.reduce((n, part) => n + part.length, 0));
    window.heard.reduce((at, part) => (samples.set(part, at), at + part.length), 0);
    let bytes = "";
    for (const byte of new Uint8Array(samples.buffer)) bytes += String.fromCharCode(byte);
    return [window.tap?.context.sampleRate ?? 0, btoa(bytes)];
}"""


def heard(page: Page) -> np.ndarray:
    """The sound so far, while the page kept its loudspeaker open: 8 kHz, 16-bit scale."""
    rate, sound = page.evaluate(_HEARD)
    return resample(np.frombuffer(base64.b64decode(sound), "<f4"), int(rate), RATE).astype(float) * 32_768


def likeness(sound: np.ndarray, recording: np.ndarray) -> tuple[float, int, float]:
    """The best match of the recording in ``sound``: (correlation, 1 at best; its first sample; its level relative to
    the recording, in dB)."""
    power = recording @ recording
    products = np.correlate(sound, recording, "valid")
    at = int(np.argmax(products))
    there = sound[at : at + recording.size]
    return products[at] / np.sqrt(there @ there * power), at, 20 * np.log10(products[at] / power)
