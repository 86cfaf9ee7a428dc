"""Presets of the tests' own synthesiser."""

import numpy as np

from tasks.renderer.interface import Note, RenderSettings
from tasks.renderer.pool import Job
from tests.plugins.building import FAULT, FAULTS

SHORT = RenderSettings(sample_rate_hz=16000, duration_s=0.3, fade_s=0.05)
NOTE = Note(hold_s=0.15)


def jobs(count, faults=None, note=NOTE):
    """Return presets, each from its own number; ``faults`` says which of them ask for what."""
    made = []
    for number in range(count):
        raw = dict(enumerate(np.random.default_rng(number).random(FAULT).tolist()))
        raw[18] = 0.5 + raw[18] / 2  # gain, so that none is silent
        made.append(Job(number, {**raw, FAULT: FAULTS[(faults or {}).get(number, "none")]}, note))
    return made


def rms(audio):
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def sounds(outcomes):
    """Return the bytes of each outcome's samples, or its status."""
    return {one.id: one.status if one.audio is None else one.audio.tobytes() for one in outcomes}
