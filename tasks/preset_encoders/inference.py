"""Embeddings of presets by a trained encoder, and the presets nearest to a sound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.preset_encoders.encoder import PresetEncoder, load
from tasks.preset_encoders.examples import Examples
from tasks.preset_encoders.ranking import CHUNK, Distance, distances
from tasks.presets import hand_crafted

BLOCK = 256
"""Presets that are embedded at once. Fixed, so that embeddings do not hang on a batch size."""


@torch.no_grad()
def embed(encoder: PresetEncoder, presets: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the embeddings float32 [n, m], in the audio model's units, of presets [n, used]; encoder in evaluation mode."""
    device = encoder.middle.device
    blocks = range(0, len(presets), BLOCK)
    found = [encoder(torch.from_numpy(np.array(presets[start : start + BLOCK])).to(device)).cpu() for start in blocks]
    return torch.cat(found).numpy() if found else np.empty((0, encoder.config["out"]), np.float32)


def embed_file(folder: Path, path: Path) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Return names and embeddings [n, m] of the presets of a file: JSON, a DX7 bank or an amsynth bank.

    Values are clipped and snapped as ``render_presets`` does it; copies and presets of another synthesiser are left out.

    Args:
        folder: of the trained encoder.
        path: the file.

    Raises:
        InvalidValueError: no encoder, or no presets.
    """
    encoder, spec, _ = load(folder)
    fitted = hand_crafted.fitted(spec, hand_crafted.read(path))
    return fitted.names, embed(encoder, fitted.values)


@torch.no_grad()
def embed_examples(encoder: PresetEncoder, examples: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield normalised embeddings of presets and of their sounds, both [BLOCK, m], in the rows' order, on the examples' device."""
    training = encoder.training
    encoder.eval()
    try:
        for places in torch.arange(len(examples)).split(BLOCK):
            presets, audio = examples.batch(places)
            yield encoder.normal(presets), encoder.normalised(audio)
    finally:
        encoder.train(training)


def nearest(sounds: Tensor, presets: Tensor, count: int, distance: Distance) -> tuple[Tensor, Tensor]:
    """Return the nearest presets of each sound: rows int64 [sounds, count] and distances; of equally near ones the first row.

    Args:
        sounds: embeddings of sounds [sounds, m].
        presets: embeddings of presets [presets, m].
        count: presets for each sound; fewer where there are no more.
        distance: what is near.
    """
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(presets), CHUNK * 16):
        part = distances(sounds, presets[start : start + CHUNK * 16], distance)
        rows = torch.arange(start, start + part.shape[1]).expand(len(sounds), -1)
        if best is not None:
            part, rows = torch.cat([best[0], part.cpu()], 1), torch.cat([best[1], rows], 1)
        order = part.cpu().sort(dim=1, stable=True).indices[:, :count]
        best = part.cpu().gather(1, order), rows.gather(1, order)
    assert best is not None
    return best[1], best[0]
