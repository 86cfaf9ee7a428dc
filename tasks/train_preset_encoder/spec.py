"""Train a preset encoder on presets and the embeddings of their sounds; weights are selected on validation presets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError
from tasks.preset_encoders.settings import ModelName

STAGE = Stage(
    name="train_preset_encoder", environment="train", version=1, memory_mb=3000, time_limit_s=72 * 3600, cpu_threads=1, uses_gpu=True
)


@dataclass(frozen=True)
class Settings:
    """Sizes and pace. What is left at None is the preset's; see ``docs/preset_encoders.md``."""

    preset: Literal["cpu", "paper"] = "cpu"
    """``cpu``: small sizes, about ten minutes on two cores for 100,000 presets. ``paper``: the published sizes and training."""
    sizes: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Sizes of the encoder in place of the preset's, by name: ``hidden``, ``blocks``, ``token``, ``heads``, ``factor``, ``dropout`` …"""
    epochs: int | None = None
    """Passes over the training presets."""
    batch_presets: int | None = None
    """Presets per step."""
    loss: Literal["l1", "mse"] = "l1"
    """What is minimised; rankings go by the distance that belongs to it, L1 or L2."""
    learning_rate: float | None = None
    """AdamW's highest rate."""
    betas: tuple[float, float] | None = None
    """AdamW's."""
    eps: float | None = None
    """AdamW's."""
    weight_decay: float = 0.0
    """AdamW's."""
    schedule: Literal["wcrc", "cosine", "plateau"] | None = None
    """``wcrc``: constant, cosine, full restart, cosine. ``cosine``: constant, one cosine. ``plateau``: a tenth when the validation loss
    stays where it is."""
    flat_share: float | None = None
    """wcrc and cosine: share of the steps with a constant rate in the beginning."""
    restart_share: float | None = None
    """wcrc: share of the steps after which the cosine begins again; a third, as published."""
    least_rate: float | None = None
    """Rate at the end of a cosine."""
    warm_up_share: float | None = None
    """Share of the steps in which the rate rises linearly."""
    plateau_factor: float | None = None
    """plateau: what the rate is multiplied by."""
    plateau_patience: int | None = None
    """plateau: looks without a lower validation loss before that."""
    clip_norm: float | None = None
    """Longest gradient; 0: any."""
    precision: Literal["float32", "bfloat16"] | None = None
    """Of the network's arithmetic in training; embeddings that are scored are float32."""
    normalise: bool | None = None
    """Train on, and rank by, embeddings less their mean, in units of their standard deviation, both of the training presets."""
    looks_per_epoch: int | None = None
    """Times that validation presets are looked at in an epoch."""
    keep_epochs: int | None = None
    """Keep the weights of every k-th epoch; 0: none of them."""
    rankings: int | None = None
    """Validation rankings; see ``candidates``."""
    candidates: int | None = None
    """Candidates of a ranking. With rankings × candidates validation presets each is in one ranking; with fewer they are drawn."""
    select: Literal["mrr", "loss", "last"] = "mrr"
    """Weights that ``model.pt`` gets: of the best mean reciprocal rank, of the lowest loss, both on validation presets, or the last."""

    def __post_init__(self) -> None:
        limits = {
            "epochs": (1, 1_000_000), "batch_presets": (2, 1_000_000), "learning_rate": (1e-9, 10.0), "eps": (1e-15, 1.0),
            "weight_decay": (0.0, 10.0), "flat_share": (0.0, 1.0), "restart_share": (0.0, 1.0), "least_rate": (0.0, 10.0),
            "warm_up_share": (0.0, 1.0), "plateau_factor": (1e-6, 1.0), "plateau_patience": (0, 1_000_000), "clip_norm": (0.0, 1e6),
            "looks_per_epoch": (1, 1000), "keep_epochs": (0, 1_000_000), "rankings": (1, 1_000_000), "candidates": (2, 1_000_000),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if getattr(self, name) is not None:
                check_range(f"train_preset_encoder.{name}", getattr(self, name), low, high)
        for number, beta in enumerate(self.betas or ()):
            check_range(f"train_preset_encoder.betas[{number}]", beta, 0.0, 0.999999)


@dataclass(frozen=True)
class Request:
    """One training."""

    train: str
    """Preset set that render_presets wrote, with embeddings; its rows of split ``train`` are trained on."""
    model: ModelName
    """The encoder."""
    seed: int
    """Seed of weights and batches."""
    val: str = ""
    """Preset set whose rows of split ``val`` select weights; empty: ``train``. It must have been made as that was."""
    start_from: str = ""
    """Trained encoder of the same model and sizes to go on from, for fine-tuning on hand-made presets; empty: none."""
    settings: Settings = Settings()
    """Sizes and pace."""
    search: str = ""
    """Folder of search_preset_encoder, of the same model and preset; what it found stands where ``settings`` leave something open."""

    def __post_init__(self) -> None:
        check_range("train_preset_encoder.seed", self.seed, 0, 2**31 - 1)
        if not self.train:
            raise InvalidValueError("nothing to train on", where="train_preset_encoder.train", allowed="a preset set", received="")


@dataclass(frozen=True)
class Result:
    """How the training ended. Figures are of validation presets and of the weights in ``model.pt``."""

    model: str
    """The encoder."""
    seed: int
    """Of weights and batches."""
    parameters: int
    """Weights of the network."""
    train_presets: int
    """Presets trained on."""
    val_presets: int
    """Presets looked at."""
    steps: int
    """Gradient steps."""
    best_step: int
    """Step whose weights were kept."""
    val_loss: float
    """The loss, exact mean over the presets."""
    val_l1: float
    """Mean absolute error in the audio model's own units."""
    val_mrr: float
    """Mean reciprocal rank of a sound's own preset."""
    rankings: int
    """Queries that the mean is over."""
    candidates: int
    """Presets that each query's own is among."""
    chance_mrr: float
    """Mean reciprocal rank of candidates in random order."""
