"""Cartesian blocks of scenes: every clip of a batch heard through every RIR of it, described, labelled and turned into features."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.derived import clip_seed
from tasks.spatial import words
from tasks.spatial_features.convolution import convolve
from tasks.spatial_features.intensity import Intensity
from tasks.spatial_features.rotation import matrices, rotate
from tasks.spatial_model.sizes import Sizes
from tasks.spatial_model.sources import Sources
from tasks.spatial_model.spaces import Place, Spaces


@dataclass(frozen=True)
class Scenes:
    """Items of a block, source by source: item b · V + v is source b in space v."""

    foa: Tensor
    """[items, 4, samples]."""
    captions: list[str]
    sources: Tensor
    """Label of the source [items]."""
    spaces: Tensor
    """Label of the space [items]."""
    angles: Tensor
    """Azimuth and elevation in radians [items, 2]."""
    quantities: Tensor
    """Floor area in m², distance in m, T30 in ms [items, 3]."""
    placed: bool = True
    """Whether sounds have a place; else only their sources count, and each item is a clip of its own."""


class FrontEnd(nn.Module):
    """FOA sound to what the model hears: active and reactive intensity, and W."""

    bands: Tensor | None

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pool = sizes.intensity_pool
        self.intensity = Intensity(
            sizes.sample_rate_hz, sizes.intensity_norm, mels=sizes.intensity_mels, clip=sizes.intensity_clip,
            rate_hz=sizes.intensity_rate_hz,
        )  # fmt: skip
        # Slaney's filters have an area of 1 in Hz: divided by their sums they are means over bins, between −1 and 1 like the coordinates
        # that the branch sees beside them, instead of some fiftieth of that.
        self.register_buffer("bands", 1 / self.intensity.filters.sum(0) if sizes.intensity_mels else None, persistent=False)

    @torch.no_grad()
    def forward(self, foa: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return active and reactive intensity [rows, 3, bins, frames] and W [rows, samples] of sound [rows, 4, samples]."""
        maps = self.intensity(foa)
        if self.bands is not None:
            maps = tuple(one * self.bands[:, None] for one in maps)
        if self.pool > 1:
            maps = tuple(functional.avg_pool2d(one, (1, self.pool)) for one in maps)
        return (*maps, foa[:, 0])


def block(waves: Tensor, rirs: Tensor, delay: int, yaws_deg: Sequence[float] | None = None) -> Tensor:
    """Return every clip heard through every RIR, [B · V, 4, samples], source by source.

    Args:
        waves: dry clips [B, samples].
        rirs: responses [V, 4, length].
        delay: samples that the simulator adds in front.
        yaws_deg: turn of each room to the left [V].
    """
    if yaws_deg is not None:
        rirs = rotate(rirs, matrices(torch.tensor(yaws_deg, device=rirs.device)))
    return convolve(waves, rirs, delay).flatten(0, 1)


def caption(source: str, place: Place, spaces: Spaces, seed: int, ids: tuple[str, str], turn: int = 0) -> str:
    """Return the caption of one item; words and template hang on the seed, the item's ids and the turn."""
    rng = random.Random(clip_seed(seed, "/".join(ids), turn))  # noqa: S311
    return words.caption(source, place.words, rng, spaces.wording)


def grid_captions(sources: Sources, spaces: Spaces, chosen: tuple[Sequence[int], Sequence[int]], seed: int) -> list[str]:
    """Return the captions of a whole grid, source by source; in ``compat`` drawn from one stream, as DISSE's."""
    places = {number: spaces.place(number) for number in chosen[1]}
    if spaces.compat:
        rng = random.Random(seed)  # noqa: S311
        return [words.caption(sources.captions[one], places[other].words, rng, spaces.wording) for one in chosen[0] for other in chosen[1]]
    return [
        caption(sources.captions[one], places[other], spaces, seed, (sources.ids[one], spaces.ids[other]))
        for one in chosen[0]
        for other in chosen[1]
    ]  # fmt: skip


TUPLES = {descriptors: number for number, descriptors in enumerate(words.all_tuples())}


def space_label(spaces: Spaces, number: int, place: Place, by: str) -> int:
    """Return the label of a space: its number, or for ``descriptor`` that of its words, the same for captions that say the same."""
    return TUPLES[place.words] if by == "descriptor" else number


def repeated(values: Sequence[int] | np.ndarray, times: int, each: bool) -> Tensor:
    """Return labels of all items from those of the sources (``each``) or of the spaces."""
    found = torch.as_tensor(np.asarray(values, np.int64))
    return found.repeat_interleave(times) if each else found.repeat(times)


def physical(places: Sequence[Place], sources: int) -> tuple[Tensor, Tensor]:
    """Return angles [items, 2] and quantities [items, 3] of all items of a block with that many sources."""
    angles = torch.tensor([place.angles for place in places], dtype=torch.float32)
    return angles.repeat(sources, 1), torch.tensor([place.quantities for place in places], dtype=torch.float32).repeat(sources, 1)


def vocabulary(sources: Sources, spaces: Spaces) -> list[str]:
    """Return texts that hold every word a caption of these clips can have: the tokenizer is made of them."""
    synonyms = [word for group in words.SYNONYMS.values() for options in group.values() for word in options]
    sentences = [*words.TEMPLATES, *words.UNPLACED, "in part of a room that is", "a sound coming from"]
    return [*sentences, *synonyms, *sources.captions]
