"""The batches of a training: which clips meet which RIRs, how these are turned and what is said of them, by the batch's number alone."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from core.derived import clip_seed
from core.errors import InvalidValueError
from tasks.spatial_features.convolution import copied
from tasks.spatial_model.scenes import Scenes, block, caption, physical, repeated, space_label
from tasks.spatial_model.sources import Sources
from tasks.spatial_model.spaces import Spaces
from tasks.train_spatial.recipe import Plan
from tasks.training.distributed import bounds

CLIP_STREAM, RIR_STREAM, MONO_STREAM = 1 << 40, 1 << 41, 1 << 42
"""Added to the seeds of orders, so that they are not those of the steps."""


class Batches:
    """Cartesian blocks of training clips and RIRs; each rank builds its own clips' rows, all ranks have all RIRs.

    Args:
        sources: training clips.
        spaces: training RIRs.
        plan: sizes of a batch, and its labels.
        seed: of orders, crops, turns and captions.
        device: where sound is convolved.
        workers: threads that decode the next batch meanwhile; what it holds does not hang on them.
    """

    def __init__(self, sources: Sources, spaces: Spaces, plan: Plan, seed: int, device: str, workers: int) -> None:
        self.sources, self.spaces, self.plan, self.seed, self.device = sources, spaces, plan, seed, device
        self._labels = sources.labels(plan.source_label)
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._next: tuple[int, Future[tuple[list[int], Tensor]]] | None = None

    def scenes(self, number: int) -> Scenes:
        """Return this rank's part of a batch."""
        places, waves = self._loaded(number)
        if self.mono(number):
            return self._without_place(places, waves.to(self.device))
        spots = self.spots(number)
        yaws = [self.yaw(number, spot) for spot in spots]
        found = [self.spaces.place(spot, yaw) for spot, yaw in zip(spots, yaws, strict=True)]
        rirs = self.spaces.rirs(spots).to(self.device)
        foa = block(waves.to(self.device), rirs, self.spaces.delay, yaws if self.plan.rotate else None)
        captions = [
            caption(self.sources.captions[place], there, self.spaces, self.seed, (self.sources.ids[place], self.spaces.ids[spot]), number)
            for place in places
            for spot, there in zip(spots, found, strict=True)
        ]
        labels = [space_label(self.spaces, spot, there, self.plan.space_label) for spot, there in zip(spots, found, strict=True)]
        angles, quantities = physical(found, len(places))
        return Scenes(
            foa, captions, repeated(self._labels[places], len(spots), True), repeated(labels, len(places), False), angles, quantities
        )

    def mono(self, number: int) -> bool:
        """Return whether a batch's clips have no place."""
        return clip_seed(self.seed, "mono", number) / 2**31 < self.plan.mono_share

    def _without_place(self, places: list[int], waves: Tensor) -> Scenes:
        """Return clips as they are, on all channels; what is not known of them is not a number, or a label that nobody has."""
        none = torch.full((len(places), 3), torch.nan)
        captions = [self.sources.captions[place] for place in places]
        labels = torch.as_tensor(self._labels[places])
        return Scenes(copied(waves), captions, labels, torch.full_like(labels, -1), none[:, :2], none, placed=False)

    def yaw(self, number: int, spot: int) -> float:
        """Return how far a RIR is turned in a batch, in degrees; 0 where nothing turns."""
        if not self.plan.rotate:
            return 0.0
        if clip_seed(self.seed, "same azimuth", number) / 2**31 < self.plan.same_azimuth_share:
            return clip_seed(self.seed, "azimuth", number) / 2**31 * 360.0 - self.spaces.azimuth_deg(spot)
        return clip_seed(self.seed, self.spaces.ids[spot], number) / 2**31 * 360.0 - 180.0

    def places(self, number: int) -> list[int]:
        """Return the clips of a whole batch: every epoch goes through all of them in an order of its own.

        One without places has a clip for each item, all of them in turn where there are fewer.
        """
        if self.mono(number):
            generator = torch.Generator().manual_seed(MONO_STREAM + self.seed * 1_000_003 + number)
            order = torch.randperm(len(self.sources), generator=generator).tolist()
            return [int(order[item % len(order)]) for item in range(self.plan.items)]
        return self._drawn(number, len(self.sources), self.plan.batch_sources, CLIP_STREAM)

    def spots(self, number: int) -> list[int]:
        """Return the RIRs of a batch, which go through their pool in the same way."""
        return self._drawn(number, len(self.spaces), self.plan.batch_spaces, RIR_STREAM)

    def _drawn(self, number: int, pool: int, size: int, stream: int) -> list[int]:
        epoch, part = divmod(number, max(1, pool // size))
        generator = torch.Generator().manual_seed(stream + self.seed * 1_000_003 + epoch)
        return [int(one) for one in torch.randperm(pool, generator=generator)[part * size : (part + 1) * size]]

    def _loaded(self, number: int) -> tuple[list[int], Tensor]:
        """Return this rank's clips of a batch, decoded meanwhile where there are workers."""
        if self._pool is None:
            return self._load(number)
        ahead = self._next
        found = ahead[1].result() if ahead is not None and ahead[0] == number else self._load(number)
        self._next = (number + 1, self._pool.submit(self._load, number + 1))
        return found

    def _load(self, number: int) -> tuple[list[int], Tensor]:
        places = self.places(number)
        start, stop = bounds(len(places))
        heard = [self._readable(place, number) for place in places[start:stop]]
        return [place for place, _ in heard], torch.stack([wave for _, wave in heard])

    def _readable(self, place: int, number: int) -> tuple[int, Tensor]:
        """Return a clip, or in the place of one that cannot be decoded the next one that can, so that a batch never shrinks.

        Raises:
            InvalidValueError: no clip can be decoded.
        """
        for offset in range(len(self.sources)):
            other = (place + offset) % len(self.sources)
            wave = self.sources.heard(other, clip_seed(self.seed, self.sources.ids[other], number))
            if wave is not None:
                return other, wave
        reason = next(iter(self.sources.unreadable.values()))
        raise InvalidValueError("no clip can be decoded", where="train_spatial.clips", allowed="sound files", received=reason)
