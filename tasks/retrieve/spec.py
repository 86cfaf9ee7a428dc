"""Retrieve the pool clips nearest to each gold clip, by sound or by words; they become training clips with its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError
from tasks.clap_model.settings import ClapTowers

STAGE = Stage(
    name="retrieve", environment="clap", version=1, memory_mb=2500, time_limit_s=24 * 3600, cpu_threads=1, uses_gpu=True, sharded=True
)


@dataclass(frozen=True)
class Settings(ClapTowers):
    """How many, and by what."""

    per_clip: int = 2
    """Clips retrieved for each gold clip; as many as ``generate`` makes by default."""
    by: Literal["audio", "label_text", "encoder", "words"] = "audio"
    """``audio``: nearest to the gold clip itself by CLAP; ``label_text``: to "Sound of a {label}"; ``encoder``: to the gold clip by the
    request's ``encoder``; ``words``: no model, the clip's and the pool clip's label have words in common."""
    unique: bool = True
    """Give no pool clip twice: the best pairs of the whole set are taken first. Otherwise every gold clip gets its nearest."""
    batch_size: int = runtime_setting(default=16)
    """Windows embedded at a time, at most 4 of them on a CPU; does not change what is retrieved."""

    def __post_init__(self) -> None:
        check_range("retrieve.per_clip", self.per_clip, 1, 1000)
        check_range("retrieve.batch_size", self.batch_size, 1, 4096)


@dataclass(frozen=True)
class Request:
    """One set of retrieved clips."""

    clips: str
    """Folder of the gold clips; train clips only."""
    pool: str
    """Folder of the pool: any dataset's manifest. Its validation and test clips stay where they are."""
    checkpoint: str = external_path()
    """Folder of ``train_clap``, or a LAION-CLAP checkpoint file; empty by encoder and by words."""
    shards: int = 4
    """Parts of the embedding that are recorded and resumed one by one."""
    settings: Settings = Settings()
    """How many, and by what."""
    evaluation: str = ""
    """Folder of the prepared dataset; pool clips with the bytes of its validation or test clips are left out. Empty: only those of the
    gold clips are."""
    encoder: str = external_path(default="")
    """by encoder: folder of ``train_contrastive``."""

    def __post_init__(self) -> None:
        check_range("retrieve.shards", self.shards, 1, 100_000)
        by = self.settings.by
        if bool(self.encoder) != (by == "encoder") or bool(self.checkpoint) != (by in ("audio", "label_text")):
            raise InvalidValueError(
                "one embedding", where="retrieve.encoder",
                allowed="an encoder for by=encoder, a checkpoint for audio and label_text, neither for words",
                received={"by": self.settings.by, "encoder": self.encoder, "checkpoint": self.checkpoint},
            )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What was retrieved."""

    clips: int
    """Clips retrieved. By words fewer than were asked for, where labels have none in common with the pool's."""
    rejected: int
    """Clips among them that are silent once fitted to the gold clip's length; they stay in the manifest with their reason."""
    seconds: float
    """Total duration."""
    pool: int
    """Clips of the pool."""
    eligible: int
    """Clips among them that could be retrieved."""
    left_out: dict[str, int]
    """The others by reason: ``rejected``; ``not_train``; ``gold`` and ``evaluation`` (such clips, or made from them);
    ``same_bytes_as_gold``, ``same_bytes_as_evaluation``; ``duplicate`` (the bytes of another clip of the pool); or why the file is
    unusable."""
    distinct: int
    """Different pool clips retrieved."""
    mean_cosine: float
    """Mean similarity of the retrieved clips; 0 when there are none."""
