"""Score a preset encoder: validation rankings, one against all in both directions, the modality gap, projections, nearest presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(
    name="evaluate_preset_encoder", environment="train", version=1, memory_mb=3000, time_limit_s=6 * 3600, cpu_threads=2, uses_gpu=True
)


@dataclass(frozen=True)
class Settings:
    """How to score."""

    space: Literal["trained", "embedding"] = "trained"
    """Where distances are taken: as the loss was, or between embeddings in the audio model's own units. They differ for an encoder that
    was trained on normalised embeddings; mean absolute errors are always in the audio model's units."""
    rankings: int = 256
    """Validation rankings."""
    candidates: int = 512
    """Candidates of each. With rankings × candidates presets each is in one ranking, as published; with fewer they are drawn."""
    subset: int = 4096
    """One against all: presets of a run, drawn without one twice; all where there are no more, and then there is one run."""
    runs: int = 100
    """One against all: draws, with seeds ``seed``, ``seed`` + 1 …"""
    pool_sizes: tuple[int, ...] = ()
    """One against all again with subsets of these sizes, to see how rankings fall as the pool grows."""
    hand_crafted_split: Literal["all", "test"] = "all"
    """Rows of the set made by hand. An encoder that was tuned on the set is scored on its ``test`` rows only."""
    projection: Literal["umap", "pca", "none"] = "umap"
    """Picture of embeddings in two dimensions; without the package umap-learn it is the one by principal components."""
    projection_points: int = 2000
    """Presets of each set in the picture."""
    neighbours: int = 75
    """UMAP's ``n_neighbors``."""
    min_distance: float = 0.99
    """UMAP's ``min_dist``."""
    nearest_sounds: int = 8
    """Sounds of the test presets whose nearest presets are listed."""
    nearest_presets: int = 5
    """Presets listed for each sound."""
    seed: int = 42
    """Of draws and projection."""

    def __post_init__(self) -> None:
        limits = {
            "rankings": (1, 1_000_000), "candidates": (2, 1_000_000), "subset": (2, 32_768), "runs": (1, 100_000),
            "projection_points": (3, 1_000_000), "neighbours": (2, 10_000), "min_distance": (0.0, 0.999), "nearest_sounds": (0, 100_000),
            "nearest_presets": (1, 10_000), "seed": (0, 2**31 - 1),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            check_range(f"evaluate_preset_encoder.{name}", getattr(self, name), low, high)
        for size in self.pool_sizes:
            check_range("evaluate_preset_encoder.pool_sizes", size, 2, 32_768)


@dataclass(frozen=True)
class Request:
    """One encoder to score."""

    model: str
    """Folder of train_preset_encoder, or one of its files of weights."""
    sampled: str
    """Set of drawn presets; its rows of split ``test`` are ranked one against all."""
    val: str = ""
    """Set of drawn presets whose rows of split ``val`` make the validation rankings; empty: ``sampled``."""
    hand_crafted: str = ""
    """Set of presets made by hand; empty: none."""
    sounds: str = external_path(default="")
    """Folder of sound files, or one file, to find the nearest presets of; empty: none."""
    audio_weights: str = external_path(default="")
    """For ``sounds``: weights of the sets' audio model, where it has any."""
    settings: Settings = Settings()
    """How to score."""

    def __post_init__(self) -> None:
        for name in ("model", "sampled"):
            if not getattr(self, name):
                raise InvalidValueError("missing", where=f"evaluate_preset_encoder.{name}", allowed="a folder", received="")


@dataclass(frozen=True)
class Result:
    """The main scores; all of them are in ``scores.json``."""

    model: str
    """The encoder."""
    val_mrr: float
    """Mean reciprocal rank in the validation rankings."""
    val_rankings: int
    """How many there were."""
    val_candidates: int
    """Candidates of each."""
    mrr: float
    """Drawn test presets, one against all, presets as queries: mean over the runs."""
    mrr_audio_query: float
    """The same with sounds as queries."""
    l1: float
    """Mean absolute error on drawn test presets."""
    subset: int
    """Presets of a run."""
    chance_mrr: float
    """Of candidates in random order, one against all."""
    hand_crafted_mrr: float | None = None
    """As ``mrr``, on presets made by hand; their number may differ, and with it chance."""
    hand_crafted_l1: float | None = None
    """As ``l1``, on presets made by hand."""
