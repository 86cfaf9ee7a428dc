"""Who orders the sounds of a preset: audio models by the distances of their vectors, and two distances between sounds themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from core import audio
from core.context import Context
from tasks.audio_models.interface import AudioModel
from tasks.audio_models.opening import open_audio_model
from tasks.rank_audio_models.correlations import DISTANCES, from_ends, to_sound
from tasks.rank_audio_models.spec import Model, title_of
from tasks.sound_matching.audio_distances import RESOLUTIONS, AudioDistances, magnitudes, spectral

Audio = npt.NDArray[np.float32]
PLAIN = ("mstft", "mfccd")
"""Distances without a model."""
PLAIN_RATE_HZ = 32000
OWN = "own"
"""What their distance is called."""
AT_ONCE = 8
"""Sounds that are heard at once."""


class Ear(Protocol):
    """Orders sounds."""

    title: str
    """What it is called."""
    identity: str
    """What it is, weights included."""
    sample_rate_hz: int
    """Of the sounds it hears."""
    dimensions: int
    """Of its vectors; 0 without any."""

    def correlations(self, sounds: Audio) -> dict[str, float]:
        """Return by distance how well sounds [steps, T] are in order; see ``correlations.from_ends``."""


class ModelEar:
    """An audio model."""

    def __init__(self, title: str, model: AudioModel, device: str) -> None:
        self.title, self._model, self._device = title, model, device
        self.identity, self.sample_rate_hz, self.dimensions = model.identity, model.sample_rate_hz, model.dimensions

    @torch.inference_mode()
    def correlations(self, sounds: Audio) -> dict[str, float]:
        """See :class:`Ear`."""
        parts = [self._model(part.to(self._device)).cpu() for part in torch.from_numpy(sounds).split(AT_ONCE)]
        vectors = torch.cat(parts).double().numpy()
        return {distance: from_ends(partial(to_sound, vectors, distance=distance), len(sounds)) for distance in DISTANCES}


class PlainEar:
    """One of :data:`PLAIN`."""

    sample_rate_hz, dimensions = PLAIN_RATE_HZ, 0

    def __init__(self, title: str, name: str, device: str) -> None:
        self.title, self.identity, self._name, self._device = title, name, name, device
        self._distances = AudioDistances(PLAIN_RATE_HZ).to(device)

    @torch.inference_mode()
    def correlations(self, sounds: Audio) -> dict[str, float]:
        """See :class:`Ear`; the sound that others are compared with is the one that is wanted."""
        given = torch.from_numpy(sounds).to(self._device)
        ends = (0, len(sounds) - 1)
        found = torch.zeros(2, len(sounds), dtype=torch.float64)
        # Each sound's spectra are worked out once, which is what takes the time.
        if self._name == "mfccd":
            heard = self._distances.mfcc(given)
            found += torch.stack([(heard - heard[end]).abs().mean((1, 2)).double().cpu() for end in ends])
        else:
            for resolution in RESOLUTIONS:
                spectra = magnitudes(given, resolution)
                for place, end in enumerate(ends):
                    found[place] += spectral(spectra, spectra[end].expand_as(spectra)).double().cpu()
        by_end = dict(zip(ends, found.numpy(), strict=True))
        return {OWN: from_ends(by_end.__getitem__, len(sounds))}


def open_ears(models: tuple[Model, ...], context: Context) -> list[Ear]:
    """Open everyone who listens."""
    ears: list[Ear] = []
    for one in models:
        if one.name in PLAIN:
            ears.append(PlainEar(title_of(one), one.name, context.device))
        else:
            weights = f":{context.locate(one.weights)}" if one.weights else ""
            ears.append(ModelEar(title_of(one), open_audio_model(one.name + weights, context.device, one.reduction), context.device))
    return ears


def at_rate(sounds: Audio, rate_hz: int, wanted_hz: int) -> Audio:
    """Return sounds [steps, T] at another sample rate."""
    return np.ascontiguousarray(audio.resample(sounds, rate_hz, wanted_hz), np.float32)


def heard(ears: Sequence[Ear], sounds: Audio, rate_hz: int, attribute: str, preset: int) -> list[dict[str, Any]]:
    """Return everyone's correlations for one preset."""
    resampled = {ear.sample_rate_hz: at_rate(sounds, rate_hz, ear.sample_rate_hz) for ear in ears}
    rows = []
    for ear in ears:
        for distance, value in ear.correlations(resampled[ear.sample_rate_hz]).items():
            rows.append({"model": ear.title, "distance": distance, "attribute": attribute, "preset": preset, "correlation": value})
    return rows
