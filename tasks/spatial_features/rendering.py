"""From dry clips and RIRs to scenes, the one way that training on the fly and precomputed sets share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.spatial.catalogue import Catalogue
from tasks.spatial_features import levels
from tasks.spatial_features.convolution import convolve, padded
from tasks.spatial_features.levels import Level


@dataclass(frozen=True)
class Rendering:
    """How scenes are rendered."""

    sample_rate_hz: int
    """Of clips, RIRs and scenes."""
    level: Level
    """Loudness and noise."""


def render(
    dry: Tensor, rirs: Tensor, names: Sequence[Sequence[str]], rendering: Rendering
) -> tuple[Tensor, list[list[dict[str, float]]]]:  # fmt: skip
    """Return every clip heard through every RIR, at its level and in its noise.

    Args:
        dry: [B, T].
        rirs: [V, 4, L] without the simulator's delay (:func:`load_rirs`).
        names: B times V scene ids, which noise and ratio hang on.
        rendering: rate, level and noise.

    Returns:
        FOA [B, V, 4, T], and for each scene {gain_db, snr_db where there is noise}.
    """
    wet = convolve(dry, rirs)
    flat = [name for row in names for name in row]
    heard, told = levels.apply(wet.flatten(0, 1), rendering.level, rendering.sample_rate_hz, flat)
    views = len(rirs)
    return heard.unflatten(0, wet.shape[:2]), [told[at : at + views] for at in range(0, len(told), views)]


def load_rirs(catalogue: Catalogue, rows: Sequence[int], trim_delay: bool = True) -> Tensor:
    """Return RIRs [V, 4, L] of a catalogue's rows, short ones padded.

    Args:
        catalogue: opened.
        rows: places in its table.
        trim_delay: cut the simulator's own delay off the front. What it cuts is silence from 0.3 m on: the fractional delay filter that
            writes a direct sound reaches no further ahead than that delay.
    """
    columns = catalogue.table.get("delay_samples")
    found = []
    for row in rows:
        delay = int(columns.iloc[row]) if columns is not None else int(catalogue.meta["delay_samples"])
        found.append(torch.from_numpy(catalogue.rir(row))[:, delay if trim_delay else 0 :])
    return padded(found)
