"""Mix the train clips of several sources into one manifest, by weights, with the held-out clips of a dataset beside them if wanted."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="mix_clips", environment="data", version=1, memory_mb=800, time_limit_s=3600)


@dataclass(frozen=True)
class Source:
    """Folders that are one source, such as the rounds of one generator."""

    name: str
    """What it is called."""
    folders: tuple[str, ...]
    """Folders with a manifest; accepted clips of split ``train`` take part."""
    weight: float = 0.0
    """Share of the mixture, relative to the other weights. 0 for all sources: every clip takes part."""

    def __post_init__(self) -> None:
        check_range(f"mix_clips.{self.name}.weight", self.weight, 0.0, 1e6)
        if not self.folders:
            raise InvalidValueError("no folders", where=f"mix_clips.{self.name}", allowed="at least one", received=())


@dataclass(frozen=True)
class Request:
    """One mixture."""

    sources: tuple[Source, ...]
    """What is mixed. With weights the sources are cut so that the mixture is the largest with these shares; which clips stay hangs on the
    seed and their ids."""
    evaluation: str = ""
    """Folder of a dataset whose validation and test clips keep out: no clip may be, or descend from, one of them, and clips that have the
    bytes of one are left out."""
    held_out: bool = False
    """Put these validation and test clips into the manifest, beside the train clips."""
    max_clips: int = 0
    """Most train clips; 0: no limit. The shares stay."""
    seed: int = 0
    """Of which clips are left out."""

    def __post_init__(self) -> None:
        check_range("mix_clips.max_clips", self.max_clips, 0, 1_000_000_000)
        check_range("mix_clips.seed", self.seed, 0, 2**31 - 1)
        if self.held_out and not self.evaluation:
            raise InvalidValueError("held-out clips of what", where="mix_clips.evaluation", allowed="a folder", received="")
        names = [source.name for source in self.sources]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError("empty or twice", where="mix_clips.sources", allowed="different names, at least one", received=names)
        weights = [source.weight for source in self.sources]
        if any(weights) and not all(weights):
            received = {source.name: source.weight for source in self.sources}
            hint = "leave a source out instead of giving it the weight 0"
            raise InvalidValueError("some without", where="mix_clips.weight", allowed="all or none", received=received, hint=hint)


@dataclass(frozen=True)
class Result:
    """What was mixed."""

    clips: int
    """Train clips."""
    of_source: dict[str, int]
    """Train clips by source."""
    left_out: dict[str, int]
    """Clips that the weights or ``max_clips`` left out, by source."""
    twice: int
    """Clips that several sources have, which count for the first of them."""
    same_bytes: int
    """Clips left out since a validation or test clip has their bytes."""
    held_out: int
    """Validation and test clips beside them."""
    seconds: float
    """Total duration of the train clips."""
