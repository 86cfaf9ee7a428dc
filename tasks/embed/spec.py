"""Embed every accepted clip of a dataset with a frozen encoder: a trained one, an untrained one, or mel statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path
from core.errors import InvalidValueError

STAGE = Stage(
    name="embed", environment="train", version=1, memory_mb=1500, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True
)


@dataclass(frozen=True)
class Settings:
    """How clips are embedded, and the sizes of an untrained encoder."""

    level: Literal["as_is", "peak"] = "as_is"
    """``peak``: every clip is scaled to a peak of 1 first."""
    overlap: float = 0.0
    """Share of a stretch (about a second) that the next one repeats."""
    pooling: Literal["mean", "mean_std"] = "mean"
    """A clip's embedding is the mean over its stretches, or the mean and then the deviation."""
    layers: Literal["last", "all"] = "last"
    """``last``: the encoder's embedding, as published the network's output. ``all``: the means of its four layers' channels, and its
    output."""
    seed: int = 0
    """random: of the weights."""
    front_end: Literal["vggish", "simple"] = "vggish"
    """random without a checkpoint, and mel: the features."""
    sample_rate_hz: int = 16000
    """random without a checkpoint, and mel: rate that clips are brought to; vggish takes 16000 only."""
    width: int = 64
    """random without a checkpoint: channels of the network's first layer."""
    dimensions: int = 512
    """random without a checkpoint: of an embedding."""
    max_reject_fraction: float = 0.05
    """Share of unreadable clips above which the stage fails."""

    def __post_init__(self) -> None:
        check_range("embed.overlap", self.overlap, 0.0, 0.95)
        check_range("embed.seed", self.seed, 0, 2**31 - 1)
        check_range("embed.sample_rate_hz", self.sample_rate_hz, 1000, 192_000)
        check_range("embed.width", self.width, 1, 1024)
        check_range("embed.dimensions", self.dimensions, 2, 65536)
        check_range("embed.max_reject_fraction", self.max_reject_fraction, 0.0, 1.0)


@dataclass(frozen=True)
class Request:
    """One dataset and one encoder."""

    clips: str
    """Folder of the manifest, or of ``synthesize_grid``. Clips of all splits are embedded: the encoder is frozen and learns nothing from
    them."""
    encoder: Literal["trained", "random", "mel"] = "trained"
    """``trained``: of ``checkpoint``. ``random``: the same network with its first weights. ``mel``: mean and deviation of each mel band."""
    checkpoint: str = external_path(default="")
    """Folder of train_contrastive, one of its ``epochs/``, or a ``model.pt``; random: whose sizes are taken, if any."""
    shards: int = 4
    """Parts that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How clips are embedded, and the sizes of an untrained encoder."""

    def __post_init__(self) -> None:
        check_range("embed.shards", self.shards, 1, 100_000)
        if (self.encoder == "trained" and not self.checkpoint) or (self.encoder == "mel" and self.checkpoint):
            raise InvalidValueError(
                "encoder and checkpoint do not fit", where="embed.checkpoint", allowed="one for trained, none for mel, either for random",
                received=(self.encoder, self.checkpoint),
            )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What was embedded."""

    clips: int
    """Clips embedded: the rows of ``embeddings.npy`` and ``table.parquet``."""
    dimensions: int
    """Of an embedding."""
    stretches: int
    """Stretches the encoder looked at."""
    rejected: int
    """Clips that could not be read; ``rejected.json`` names them."""
    heard: int
    """Clips that the encoder was trained on, by their id or as something made from them."""
