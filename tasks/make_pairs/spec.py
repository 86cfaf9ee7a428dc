"""Make preference pairs, winner and loser for one prompt, from the gold clips and what a model generated for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError

STAGE = Stage(name="make_pairs", environment="data", version=1, memory_mb=500, time_limit_s=3600)


@dataclass(frozen=True)
class Settings:
    """Who wins against whom."""

    method: Literal["gold_wins", "clap_ranked", "crpo"] = "gold_wins"
    """``gold_wins``: the gold clip against each clip generated for it (Synthio). ``clap_ranked``: per gold clip and prompt, the best
    scored clip, gold or generated, against the worst. ``crpo``: the same among the generated clips alone (TangoFlux)."""
    score: str = "clap_cosine"
    """Entry of the manifests' ``scores`` that ranks and that the margin is made of."""
    min_margin: float = 0.0
    """Ranked pairs whose scores differ by no more than this are left out."""

    def __post_init__(self) -> None:
        check_range("make_pairs.min_margin", self.min_margin, 0.0, 1e9)


@dataclass(frozen=True)
class Request:
    """One set of pairs."""

    gold: str
    """Folder of the captioned gold clips; for ``clap_ranked`` after the filter, which scores them."""
    losers: tuple[str, ...]
    """Folders of clips generated for them, before or after the filter; clips that its rule rejected belong to them too."""
    settings: Settings = Settings()
    """Who wins against whom."""

    def __post_init__(self) -> None:
        if not self.losers:
            raise InvalidValueError("missing", where="make_pairs.losers", allowed="at least one folder", received=self.losers)


@dataclass(frozen=True)
class Result:
    """What was paired."""

    pairs: int
    """Pairs made."""
    gold_clips: int
    """Gold clips there are."""
    without_loser: int
    """Gold clips among them that are in no pair."""
    generated: int
    """Generated clips there are to choose from."""
    mean_margin: float | None
    """Mean score of the winners minus that of the losers over the pairs where both are known."""
