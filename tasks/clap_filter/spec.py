"""Score every generated clip against the text of its label; clips below the rule are rejected, kept with score and reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError
from tasks.clap_model.settings import ClapTowers

STAGE = Stage(
    name="clap_filter", environment="clap", version=1, memory_mb=2500, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True,
    row_inputs=("clips", "gold", "settings.score", "settings.threshold"),
)  # fmt: skip

BOUNDS = {"sigmoid": (0.0, 1.0), "cosine": (-1.0, 1.0), "rank": (1.0, 1e9), "top_k": (0.0, 1e9), "top_share": (0.0, 1.0),
          "encoder_rank": (1.0, 1e9)}  # fmt: skip
"""Allowed thresholds by rule."""


@dataclass(frozen=True)
class Settings(ClapTowers):
    """The rule."""

    score: Literal["auto", "sigmoid", "cosine", "rank", "top_k", "top_share", "encoder_rank"] = "auto"
    """``sigmoid``: σ(exp(logit_scale)·cos) as published; ``cosine``; ``rank`` of the own label among all labels; ``top_k``: the k best of
    each label by cosine; ``top_share``: the best share of each label; ``encoder_rank``: rank of the own label by the cosine with the mean
    of its gold clips in the request's ``encoder``, which has seen no text. ``auto``: rank for the compact checkpoint, whose absolute scores
    mean little, and sigmoid for a published one."""
    threshold: float | None = None
    """Lowest score kept, worst rank kept, k, or the share kept. Without one: sigmoid 0.85 (published), cosine 0.2, rank 3, top_k 10,
    top_share 0.5, encoder_rank 3."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What the audio tower multiplies in. ``bfloat16`` moves cosines by some thousandths; it pays on GPUs and on processors that multiply
    in it (avx512_bf16, AMX)."""
    batch_size: int = runtime_setting(default=16)
    """Windows embedded at a time, at most 4 of them on a CPU; does not change the scores."""

    def __post_init__(self) -> None:
        if self.threshold is not None:
            low, high = BOUNDS.get(self.score, (-1.0, 1e9))
            check_range(f"clap_filter.threshold ({self.score})", self.threshold, low, high)
        check_range("clap_filter.batch_size", self.batch_size, 1, 4096)


@dataclass(frozen=True)
class Request:
    """One set of generated clips."""

    clips: str
    """Folder of the generated clips."""
    checkpoint: str = external_path()
    """Folder of ``train_clap``, or a LAION-CLAP checkpoint file."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """The rule."""
    encoder: str = external_path(default="")
    """Folder of ``train_contrastive``; its scores ``encoder_cosine`` and ``encoder_rank`` are then written beside CLAP's."""
    gold: str = ""
    """With an encoder: folder of the gold clips that labels are known by; train clips only."""

    def __post_init__(self) -> None:
        check_range("clap_filter.shards", self.shards, 1, 100_000)
        if bool(self.encoder) != bool(self.gold) or (self.settings.score == "encoder_rank" and not self.encoder):
            raise InvalidValueError(
                "encoder and gold belong together, and score=encoder_rank needs them", where="clap_filter.encoder",
                allowed="both or none", received={"encoder": self.encoder, "gold": self.gold},
            )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What was kept."""

    accepted: int
    """Clips kept."""
    rejected: int
    """Clips rejected, by this rule or before."""
    mean_cosine: float
    """Mean cosine of all scored clips with their label's text."""
    mean_caption_cosine: float
    """Mean cosine of all scored clips with their own captions, the usual CLAP score."""
    accepted_per_label: dict[str, int]
    """Clips kept by label."""
