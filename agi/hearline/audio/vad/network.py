"""The speech network: Silero VAD v6 (MIT, silero_vad.LICENSE.txt), written out for many calls at once.

    288 samples → 4 spectra of 128 samples (65 magnitudes) → 4 convolutions over the spectra → LSTM → probability

It does the same arithmetic as the published ONNX file (a test compares the two), as matrix products over all calls.
That takes less than half the time of onnxruntime, whose convolutions are made for long signals: here a convolution over
four spectra is a matrix product with the taps side by side, and taps that would meet only padding are left out.
"""

from functools import cache
from pathlib import Path

import numpy as np

WINDOW_SAMPLES = 256  # 32 ms at 8 kHz
CONTEXT_SAMPLES = 32  # the end of the window before, put in front
STATE_SHAPE = (2, 128)  # per call: the LSTM's last output, and its cell
FEATURES = 128  # the encoder's output for a window

_WEIGHTS = Path(__file__).with_name("silero_vad.npz")
_HOP, _SPECTRUM, _BINS = 64, 128, 65
_REFLECTED = 32  # samples mirrored at the end to fill the last spectrum
_WIDE, _NARROW = 128, 64  # channels
_UNITS = 128  # in the LSTM


class SpeechNetwork:
    """The probability of speech in a window. The state of each call is passed in and returned, not kept here."""

    def __init__(self) -> None:
        self._w = _weights()
        self.settled_state = self._w.settled_state
        """The state [2, 128] that a call starts with: after a second of ordinary line noise. With it, a caller who
        speaks from the first moment is detected twice as soon as with the state after digital silence."""

    def run(self, windows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns probabilities [calls], new states [calls, 2, 128], and features of the windows [calls, 128].

        `windows` float32 [calls, 32 + 256] (±1, context first), `states` float32 [calls, 2, 128].
        """
        features = self._encode(self._spectra(windows))
        return *self._remember(features, states), features

    def _spectra(self, x: np.ndarray) -> np.ndarray:
        """Four spectra side by side: [calls, 4 · 65]."""
        w, calls = self._w, len(x)
        parts = _empty(calls, 4 * 2 * _BINS)  # for each spectrum, the real parts, then the imaginary ones
        width = 2 * _BINS
        for i in range(3):
            np.matmul(x[:, i * _HOP : i * _HOP + _SPECTRUM], w.fourier, out=parts[:, i * width : (i + 1) * width])
        np.matmul(x[:, 3 * _HOP :], w.fourier_reflected, out=parts[:, 3 * width :])
        np.multiply(parts, parts, out=parts)
        real_imaginary = parts.reshape(calls, 4, 2, _BINS)
        magnitudes = _empty(calls, 4 * _BINS)
        np.add(real_imaginary[:, :, 0], real_imaginary[:, :, 1], out=magnitudes.reshape(calls, 4, _BINS))
        return np.sqrt(magnitudes, out=magnitudes)

    def _encode(self, spectra: np.ndarray) -> np.ndarray:
        """The features [calls, 128]: convolutions with 3 taps, the first with stride 1, the others with stride 2:
        4 spectra → 4 → 2 → 1 → 1."""
        w, calls = self._w, len(spectra)
        one, two = _BINS, 2 * _BINS
        first = _empty(calls, 4 * _WIDE)
        np.matmul(spectra[:, :two], w.conv1[one:], out=first[:, :_WIDE])
        np.matmul(spectra[:, : 3 * one], w.conv1, out=first[:, _WIDE : 2 * _WIDE])
        np.matmul(spectra[:, one:], w.conv1, out=first[:, 2 * _WIDE : 3 * _WIDE])
        np.matmul(spectra[:, two:], w.conv1[:two], out=first[:, 3 * _WIDE :])
        _add_and_rectify(first, w.conv1_bias)
        second = _empty(calls, 2 * _NARROW)
        np.matmul(first[:, : 2 * _WIDE], w.conv2[_WIDE:], out=second[:, :_NARROW])
        np.matmul(first[:, _WIDE:], w.conv2, out=second[:, _NARROW:])
        _add_and_rectify(second, w.conv2_bias)
        third = second @ w.conv3
        _add_and_rectify(third, w.conv3_bias)
        fourth = third @ w.conv4
        _add_and_rectify(fourth, w.conv4_bias)
        return fourth

    def _remember(self, features: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One step of the LSTM and the probability."""
        w, calls = self._w, len(features)
        heard = _empty(calls, 2 * _UNITS)
        heard[:, :_UNITS], heard[:, _UNITS:] = features, states[:, 0]
        z = heard @ w.lstm
        z += w.lstm_bias
        # sigmoid(x) = (tanh(x / 2) + 1) / 2. The halves of x are in the weights, so one tanh does for all gates.
        np.tanh(z, out=z)
        let_in, keep, new, let_out = (z[:, i * _UNITS : (i + 1) * _UNITS] for i in range(4))
        states_after = np.empty((calls, *STATE_SHAPE), np.float32)
        said, cell = states_after[:, 0], states_after[:, 1]
        keep += 1
        np.multiply(states[:, 1], keep, out=cell)
        let_in += 1
        new *= let_in
        cell += new
        cell *= 0.5
        np.tanh(cell, out=said)
        let_out += 1
        said *= let_out
        said *= 0.5
        logit = np.maximum(said, 0) @ w.probability
        logit += w.probability_bias
        return 1 / (1 + np.exp(-logit)), states_after


class _Weights:
    """The published weights, laid out for matrix products: [in, out], taps one below the other."""

    def __init__(self, of: dict[str, np.ndarray]) -> None:
        fourier = of["stft.forward_basis_buffer"][:, 0].T
        self.fourier = _laid_out(fourier)
        # The last spectrum needs 32 samples more. They mirror the last ones, so their weights are added to those.
        end = _SPECTRUM - _REFLECTED
        reflected = fourier[:end].copy()
        reflected[end - 1 - _REFLECTED : end - 1] += fourier[end:][::-1]
        self.fourier_reflected = _laid_out(reflected)
        taps = [of[f"encoder.{i}.reparam_conv.weight"].transpose(2, 1, 0) for i in range(4)]  # each [3, in, out]
        biases = [of[f"encoder.{i}.reparam_conv.bias"] for i in range(4)]
        self.conv1 = _laid_out(taps[0].reshape(-1, _WIDE))
        self.conv2 = _laid_out(taps[1].reshape(-1, _NARROW))
        self.conv3 = _laid_out(taps[2][1:].reshape(-1, _NARROW))  # two inputs, the first tap meets padding
        self.conv4 = _laid_out(taps[3][1])  # one input: the middle tap
        self.conv1_bias, self.conv2_bias = np.tile(biases[0], 4), np.tile(biases[1], 2)
        self.conv3_bias, self.conv4_bias = biases[2], biases[3]
        halves = np.full(4 * _UNITS, 0.5, np.float32)
        halves[2 * _UNITS : 3 * _UNITS] = 1  # gates in, keep, new, out; `new` is a tanh already
        of_features_and_said = np.hstack([of["decoder.rnn.weight_ih"], of["decoder.rnn.weight_hh"]])
        self.lstm = _laid_out((of_features_and_said * halves[:, None]).T)
        self.lstm_bias = (of["decoder.rnn.bias_ih"] + of["decoder.rnn.bias_hh"]) * halves
        self.probability = of["decoder.decoder.2.weight"][0, :, 0]
        self.probability_bias = of["decoder.decoder.2.bias"]
        # Missing only while tools/silero_weights.py makes it.
        self.settled_state = of.get("settled_state", np.zeros(STATE_SHAPE, np.float32))


def _laid_out(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, np.float32)


def _empty(calls: int, channels: int) -> np.ndarray:
    return np.empty((calls, channels), np.float32)


def _add_and_rectify(x: np.ndarray, bias: np.ndarray) -> None:
    x += bias
    np.maximum(x, 0, out=x)


@cache
def _weights() -> _Weights:
    """Loaded once per process."""
    with np.load(_WEIGHTS) as archive:
        return _Weights(dict(archive))
