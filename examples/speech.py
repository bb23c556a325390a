"""Spoken words and a small net that spots them: the model of platformio_projects/keyword_spotting.

The words are spoken by espeak-ng, a program with many voices (Debian: `apt-get install espeak-ng`):
ten commands, other words that must not be taken for one, and noise. Whole voices are held out: no
training step and no calibration hears them.

    data = speech.load()               # a minute: two thousand utterances, noise on each
    model = speech.train(data)         # a Keras 3 model, a few minutes on two cores

What the net sees are the features of `tflm_opt.audio.MelFrontEnd`, which firmware computes bit for
bit; their int8 values are the net's input as they are (real number = value / 128).
"""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import digits
import numpy as np

from tflm_opt.audio import MelFrontEnd

MEL = MelFrontEnd()
CLIP = 16_000  # samples: a second
FRAMES = MEL.frames(CLIP)
COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
LABELS = (*COMMANDS, "silence", "unknown")
OTHERS = (
    *("bed", "bird", "cat", "dog", "follow", "forward", "happy", "house", "learn", "marvin"),
    *("tree", "visual", "wow", "zero", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "backward", "open", "water", "never", "under", "window", "garden"),
)
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-rp", "en-gb-x-gbcwmd")
TRAINED = (
    *("m1", "m3", "m4", "m6", "m7", "m8", "f1", "f3", "f4", "Alex", "Andy", "Gene", "Annie"),
    *("Michael", "linda", "steph", "edward", "max", "belinda", "victor"),
)
HELD_OUT = ("m2", "m5", "f2", "f5", "Lee", "anika", "john", "Denis")
NOISY_COPIES = 4  # of each utterance, to train on
BATCH = 64
EPOCHS = 12


@dataclass(frozen=True, slots=True)
class Speech:
    """Features (n, frames, bands, 1), float32 from -1 to 127/128, and labels (n,), by LABELS.

    `clips` are int16 (n, 16000): the samples that `x_test` was computed from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    clips: np.ndarray


def load(seed: int = 0, voices: int | None = None) -> Speech:
    """Speak the words and compute their features: the same for the same seed and espeak-ng.

    Args:
        voices: how many of the voices to train with, for a quick look; by default all.

    Raises:
        FileNotFoundError: no espeak-ng.
    """
    rng = np.random.default_rng(seed)
    train = list(_clips(TRAINED[:voices], NOISY_COPIES, rng))
    test = list(_clips(HELD_OUT[:voices], 1, rng))
    x_train, x_test = (features(np.stack([clip for clip, _ in part])) for part in (train, test))
    y_train, y_test = (np.array([label for _, label in part]) for part in (train, test))
    return Speech(x_train, y_train, x_test, y_test, np.stack([clip for clip, _ in test]))


def features(clips: np.ndarray) -> np.ndarray:
    """Samples int16 (n, 16000) as a net's inputs: float32 (n, frames, bands, 1)."""
    rows = np.stack([MEL.features(clip) for clip in clips])
    return (rows.astype(np.float32) / 128)[..., np.newaxis]


def calibration(data: Speech, count: int = 200) -> np.ndarray:
    """Inputs to quantize by: real ones, and one that reaches both ends of int8.

    With it the input's scale is 1/128 and its zero point 0: the front end's values go in unchanged.
    """
    ends = np.full((1, *data.x_train.shape[1:]), -1, np.float32)
    ends[0, 0] = 127 / 128
    return np.concatenate([ends, data.x_train[:: -(-len(data.x_train) // count)]])


def speak(word: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """A word as samples, float32 from -1 to 1 at 16 kHz, silence at both ends cut off."""
    from scipy.signal import resample_poly

    program = shutil.which("espeak-ng")
    if program is None:
        raise FileNotFoundError("espeak-ng is needed to speak the words: apt-get install espeak-ng")
    command = [program, "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as sound:
        rate = sound.getframerate()
        samples = np.frombuffer(sound.readframes(1 << 24), np.int16).astype(np.float32) / 32768
    spoken = resample_poly(samples, 16_000, rate).astype(np.float32)
    loud = np.flatnonzero(np.abs(spoken) > 0.02)
    return spoken[loud[0] : loud[-1] + 1] if loud.size else spoken


def _clips(
    variants: Sequence[str], copies: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, int]]:
    """Clips of a second with noise, int16, and their labels."""
    wanted = []
    for variant in variants:
        for accent in ACCENTS:
            words = (*COMMANDS, *rng.choice(OTHERS, 3, replace=False))
            for word in words:
                speed, pitch = int(rng.integers(120, 210)), int(rng.integers(25, 75))
                wanted.append((str(word), f"{accent}+{variant}", speed, pitch))
    with ThreadPoolExecutor(max_workers=2) as pool:
        spoken = list(pool.map(lambda one: speak(*one), wanted))
    for (word, *_), sound in zip(wanted, spoken, strict=True):
        label = LABELS.index(word if word in COMMANDS else "unknown")
        for _ in range(copies):
            yield _noisy(sound, rng), label
    for _ in range(len(wanted) * copies // 13):
        yield _noisy(np.zeros(1, np.float32), rng), LABELS.index("silence")


def _noisy(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sound somewhere in a second, at some distance, in some room's noise."""
    clip = np.zeros(CLIP, np.float32)
    sound = sound[:CLIP]
    start = int(rng.integers(0, CLIP - len(sound) + 1))
    loudness = 10 ** rng.uniform(-1.2, 0)
    clip[start : start + len(sound)] = sound / max(np.abs(sound).max(), 1e-3) * loudness
    # Coloured noise: white, pink, brown or between, 6 to 40 dB below the word.
    spectrum = np.fft.rfft(rng.normal(size=CLIP))
    spectrum /= np.maximum(np.arange(spectrum.size), 20) ** rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, CLIP)
    clip += noise / np.abs(noise).max() * loudness * 10 ** rng.uniform(-2, -0.3)
    return np.clip(np.rint(clip * 32767), -32768, 32767).astype(np.int16)


def build(channels: int = 48) -> Any:
    """The untrained net: a stem and four separable blocks (a DS-CNN, as in Zhang et al., 2017)."""
    import keras
    from keras import layers

    def block(x: Any, wide: int, stride: int = 1) -> Any:
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Conv2D(wide, 1, use_bias=False)(x)
        return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))

    inputs = keras.Input((FRAMES, MEL.bands, 1), name="features")
    x = layers.Conv2D(channels // 2, 3, 2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
    x = block(x, channels)
    x = block(x, channels, stride=2)
    x = block(x, channels)
    x = block(x, channels)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(len(LABELS), activation="softmax", name="word")(x)
    return keras.Model(inputs, outputs, name="keyword_spotting")


def train(data: Speech, seed: int = 0, epochs: int = EPOCHS) -> Any:
    """A trained net. Silent; seeds Keras's generators, so that each run gives the same net."""
    keras = digits.import_keras()
    keras.utils.set_random_seed(seed)
    model = build()
    steps = epochs * -(-len(data.x_train) // BATCH)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(data.x_train, data.y_train, batch_size=BATCH, epochs=epochs, verbose=0)
    return model
