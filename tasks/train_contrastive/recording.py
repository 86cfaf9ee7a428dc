"""The transform ``recording``: features as if the sound had been recorded elsewhere, at another level, by another microphone, over a noise.

Worked out on mel levels, where it costs next to nothing. It is for sounds that a synthesiser made too clean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MOST_GAIN_DB = 14.0
COLOUR_DB, COLOUR_POINTS = 4.0, 5
"""Standard deviation of a microphone's response at so many points, evenly over the mels; straight in between."""
NOISE_DB = (-60.0, -10.0)
"""Level of the noise, relative to a mel magnitude of 1 (a full-scale sine reaches about 100)."""


def recorded_anew(features: Tensor, offset: float, generators: Sequence[np.random.Generator]) -> Tensor:
    """Return features [pairs, 1, frames, mels] of other recordings of the same sounds.

    Magnitudes are scaled by a level and a smooth response over the mels; noise with a colour of its own and Rayleigh-distributed
    magnitudes is added in power.

    Args:
        features: log(magnitude + offset); not changed.
        offset: of the front end.
        generators: one for each pair.
    """
    frames, mels = features.shape[-2:]
    drawn = [_draw(rng, frames, mels) for rng in generators]
    scale, noise = (torch.from_numpy(np.stack(part).astype(np.float32)).to(features.device)[:, None] for part in zip(*drawn, strict=True))
    heard = (features.exp() - offset).clamp(min=0.0) * scale
    return torch.log(torch.sqrt(heard.square() + noise.square()) + offset)


def _draw(rng: np.random.Generator, frames: int, mels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the factor of each mel [1, mels] and the magnitudes of the noise [frames, mels]."""
    gain, level = rng.uniform(-MOST_GAIN_DB, MOST_GAIN_DB), rng.uniform(*NOISE_DB)
    rayleigh = np.sqrt(-np.log(np.maximum(rng.random((frames, mels), dtype=np.float32), 1e-7)))
    return 10 ** ((gain + _colour(rng, mels)) / 20)[None], 10 ** ((level + _colour(rng, mels)) / 20) * rayleigh


def _colour(rng: np.random.Generator, mels: int) -> np.ndarray:
    """Return a smooth response over the mels [mels], in dB."""
    points = rng.normal(0.0, COLOUR_DB, COLOUR_POINTS)
    return np.interp(np.linspace(0, COLOUR_POINTS - 1, mels), np.arange(COLOUR_POINTS), points)
