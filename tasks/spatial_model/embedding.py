"""A grid of clips × RIRs through a trained model: embeddings of sounds and captions, and what it says of directions and rooms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.scenes import FrontEnd, block, grid_captions, repeated
from tasks.spatial_model.sources import Sources
from tasks.spatial_model.spaces import Spaces

Array = npt.NDArray[np.float64]
ROWS = 64
"""Items that pass the model at once. Fixed, so that embeddings do not hang on a batch size."""
EMBEDDINGS = ("audio_source", "audio_spatial", "text_source", "text_spatial")
"""Names of DISSE's embedding cache."""


@dataclass(frozen=True)
class Grid:
    """Items source by source."""

    embeddings: dict[str, Array]
    """:data:`EMBEDDINGS`, each [items, d], of length 1."""
    direction: Array
    """Output of the direction head [items, 2 or 3]."""
    quantities: Array
    """Floor area, distance and T30 as z-scores [items, 3]."""
    sources: npt.NDArray[np.int64]
    """Place of each item's clip in :class:`Sources` [items]."""
    spaces: npt.NDArray[np.int64]
    """Number of each item's RIR in :class:`Spaces` [items]."""
    captions: list[str]
    """By item."""


@torch.no_grad()
def embed_grid(
    model: SpatialTextModel, sources: Sources, spaces: Spaces, chosen: tuple[Sequence[int], Sequence[int]], seed: int, device: str,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Grid:  # fmt: skip
    """Return the embeddings of a grid, worked out on demand; nothing of it is stored.

    Args:
        model: in evaluation mode.
        sources: dry clips; those that cannot be decoded are left out.
        spaces: RIRs.
        chosen: places of the clips and numbers of the RIRs.
        seed: of the captions.
        device: where to work.
        report: called with the number of items done and all.
    """
    front = FrontEnd(model.sizes).to(device)
    waves = {place: sources.heard(place) for place in chosen[0]}
    kept, spots = [place for place, wave in waves.items() if wave is not None], list(chosen[1])
    captions = grid_captions(sources, spaces, (kept, spots), seed)
    pieces: dict[str, list[torch.Tensor]] = {}
    for number, place in enumerate(kept):
        wave = waves[place]
        assert wave is not None
        for start in range(0, len(spots), ROWS):
            part = spots[start : start + ROWS]
            foa = block(wave[None].to(device), spaces.rirs(part).to(device), spaces.delay)
            first = number * len(spots) + start
            heard, read = model.hear(*front(foa)), model.read_captions(captions[first : first + len(part)])
            found = (heard.source, heard.space, read.source, read.space, heard.direction, heard.quantities)
            for name, values in zip((*EMBEDDINGS, "direction", "quantities"), found, strict=True):
                pieces.setdefault(name, []).append(values.float().cpu())
            report(first + len(part), len(captions))
    arrays = {name: torch.cat(values).double().numpy() for name, values in pieces.items()}
    unit = {name: arrays[name] / np.maximum(np.linalg.norm(arrays[name], axis=1, keepdims=True), 1e-12) for name in EMBEDDINGS}
    places = repeated(kept, len(spots), True).numpy(), repeated(spots, len(kept), False).numpy()
    return Grid(unit, arrays["direction"], arrays["quantities"], *places, captions)
