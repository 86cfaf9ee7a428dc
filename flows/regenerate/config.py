"""What a ``regenerate`` run can be told; the shape of ``configs/regenerate.yaml`` and of the recipes ``configs/published/*.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import check_range
from core.datasets.naming import check_name
from core.errors import InvalidValueError
from flows.settings import RunSettings

CANDIDATE = ".candidate"
"""Added to the dataset's name for a version that was refused; it is a published dataset like any other, to look into."""


@dataclass(frozen=True)
class Guards:
    """What a new version must hold against the last one, or it is not published."""

    fewest_clips_share: float = 0.9
    """Fewest clips, as a share of the last version's."""
    worst_fad_ratio: float = 1.1
    """Largest Fréchet distance to the gold clips, as a multiple of the last version's, for each measured source: of log-mels, and of CLAP's
    embedding where both versions were measured by the same CLAP."""
    largest_clap_drop: float = 0.02
    """By how much the mean cosine of clips with their label's text may fall, for each measured source, likewise."""
    largest_accuracy_drop: float = 0.03
    """By how much an arm's test score may fall, as a fraction; only with ``scores``."""
    no_leak: bool = True
    """Refuse a version in which a train clip is, comes from, or has the bytes of a validation or test clip, or nearly sounds like one."""

    def __post_init__(self) -> None:
        check_range("guards.fewest_clips_share", self.fewest_clips_share, 0.0, 100.0)
        check_range("guards.worst_fad_ratio", self.worst_fad_ratio, 0.0, 1e6)
        check_range("guards.largest_clap_drop", self.largest_clap_drop, -2.0, 2.0)
        check_range("guards.largest_accuracy_drop", self.largest_accuracy_drop, -1.0, 1.0)


@dataclass(frozen=True)
class Config(RunSettings):
    """Keep one published dataset fresh."""

    flow: Literal["synthio", "doppelgangers", "delsa"] = "synthio"
    """The flow that makes the dataset."""
    settings: tuple[str, ...] = ()
    """Its settings, as typed on the command line: ``dataset=demo``, ``num_samples=50``."""
    publish_as: str = "demo"
    """Lasting name of the dataset below ``published/``."""
    to: Literal["audiofolder", "csv", "webdataset", "lhotse"] = "audiofolder"
    """Form it is published in."""
    keep: int = 3
    """Versions to keep, the present one included."""
    scores: bool = False
    """Whether the whole flow runs, with its trainings and score table; otherwise only what makes and measures the clips."""
    guards: Guards = field(default_factory=Guards)
    """What a new version must hold against the last one."""

    def __post_init__(self) -> None:
        check_range("keep", self.keep, 1, 10_000)
        check_name(self.publish_as, "publish_as")
        check_name(f"{self.publish_as}{CANDIDATE}", "publish_as")
        if self.publish_as.endswith(CANDIDATE):
            hint = "regenerate removes it when a version passes; name the dataset itself"
            raise InvalidValueError("a refused version's name", where="publish_as", allowed="another", received=self.publish_as, hint=hint)
