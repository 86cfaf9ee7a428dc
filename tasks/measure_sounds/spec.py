"""Measure sets of synthesised sounds beside real ones: spectral features, Fréchet distance, and the distance of twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="measure_sounds", environment="data", version=1, memory_mb=1500, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """Which clips stand for the real ones, and how many are looked at."""

    split: Literal["train", ""] = "train"
    """Real clips that are compared with: train clips, or all. Nothing is chosen by what is found here."""
    max_clips: int = 400
    """Most clips of a set whose spectral features are measured, thinned by a seeded order of their ids."""
    seed: int = 0
    """Of that order, and of the halves and subsets behind the Fréchet distances."""

    def __post_init__(self) -> None:
        check_range("measure_sounds.max_clips", self.max_clips, 2, 1_000_000)
        check_range("measure_sounds.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class SoundSet:
    """One set of synthesised sounds."""

    name: str
    """Name of the encoder that hears such sounds."""
    clips: str
    """Folder of ``synthesize``."""


@dataclass(frozen=True)
class Space:
    """One embedding of all sounds."""

    name: str
    """Name of the encoder that embedded them."""
    real: str
    """Folder of ``embed`` of the real clips."""
    sets: tuple[str, ...]
    """Folders of ``embed`` of the sets, in their order."""


@dataclass(frozen=True)
class Request:
    """One dataset and what is synthesised."""

    real: str
    """Folder of the real clips' manifest."""
    sets: tuple[SoundSet, ...]
    """What is compared with them."""
    spaces: tuple[Space, ...]
    """Embeddings to compare in."""
    settings: Settings = Settings()
    """Which clips, and how many."""

    def __post_init__(self) -> None:
        names = [one.name for one in self.sets]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError("sets need names of their own", where="measure_sounds.sets", allowed="one or more", received=names)
        for space in self.spaces:
            if len(space.sets) != len(names):
                raise InvalidValueError(
                    "not one embedding per set", where=f"measure_sounds.spaces.{space.name}", allowed=len(names), received=len(space.sets)
                )


@dataclass(frozen=True)
class Result:
    """The distances; ``measures.json`` has everything else. Keys are ``set, space``; None where there are too few clips."""

    real_clips: int
    """Real clips compared with."""
    frechet: dict[str, float | None]
    """Fréchet distance of a set to the real clips."""
    frechet_reference: dict[str, float | None]
    """By space, the distance of two random halves of the real clips: what no difference looks like at half the size."""
    twins: dict[str, float | None]
    """Mean distance of two views of one pair at unit length, 0 … 2."""
    strangers: dict[str, float | None]
    """The same of views of different pairs; √2 where they are unrelated."""
