"""Train a spatial audio–text model that tells what sounds from where it sounds; or pre-train its spatial branch on attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="train_spatial", environment="train", version=1, memory_mb=4000, time_limit_s=72 * 3600, cpu_threads=1, uses_gpu=True)


@dataclass(frozen=True)
class Settings:
    """Sizes, labels, losses and pace; zeros and empty texts stand for the preset's. Sources in ``docs/spatial_model.md``."""

    preset: Literal["cpu", "paper"] = "cpu"
    """``paper``: DISSE's sizes, 10 s at 48 kHz. ``cpu``: 2.5 s at 16 kHz and a small network, for two cores."""
    task: Literal["contrast", "attributes"] = "contrast"
    """``contrast``: the whole model. ``attributes``: the spatial branch alone, on azimuth, elevation, distance, volume and DRR and T30 in
    third octaves; written as ``branch.pt``."""
    source: Literal["", "htsat", "cnn"] = ""
    """Source branch. Empty: the preset's (paper htsat, cpu cnn)."""
    duration_s: float = 0.0
    """Seconds of sound."""
    space_width: int = 0
    """Width of the space embeddings (paper 512; an early DISSE 256)."""
    batch_sources: int = 0
    """Clips B of a batch (paper 24, cpu 8); a multiple of the devices."""
    batch_spaces: int = 0
    """RIRs V of a batch (paper 3, cpu 8), shared by all its clips: B · V items."""
    epochs: int = 0
    """Passes over the training clips (paper 40, cpu 80; attributes 100)."""
    steps: int = 0
    """Gradient steps, instead of epochs. 0: as many as the epochs have."""
    train: bool = True
    """Off: write the model as its checkpoints make it, for instance DISSE's released one, to be evaluated."""
    accumulate: int = 1
    """Batches whose gradients are added up for one step; each contrasts its own items only."""
    cache_items: int = 0
    """Items that pass the network at once while the loss still sees the whole batch (GradCache, Gao et al., 2021); 0: all. Batch norm
    then takes its statistics over that many."""
    learning_rate: float = 0.0
    """AdamW's (paper 5e-5, cpu 1e-3), LAMB's for attributes (1e-3)."""
    weight_decay: float = 0.01
    """Of weights; learned log-variances have none."""
    warm_up_share: float = 0.05
    """Share of the training in which the rate rises linearly."""
    hold_share: float = 0.3
    """Share in which it then stays, before it falls as a cosine."""
    floor_share: float = 0.3
    """What is left of the rate in the end."""
    clip_norm: float = 1.0
    """Longest gradient; 0 leaves it as it is."""
    precision: Literal["", "float32", "bfloat16", "float16"] = ""
    """Number format of the layers under autocast (paper float16 on CUDA, with a scaled loss; cpu float32)."""
    source_label: Literal["", "caption", "clip"] = ""
    """What makes two clips the same source: their caption (default), or being one clip (compat)."""
    label_by: Literal["", "descriptor", "rir"] = ""
    """What makes two RIRs the same space: the words that apply to them (default), or being one RIR (compat)."""
    exclude_diagonal: bool = True
    """Leave an item's own caption out of its positives, so that they differ in the other factor."""
    weights: Literal["fixed", "learned", "off"] = "fixed"
    """Of the losses: as below, by learned log-variances besides, or as below with the physical losses off."""
    space_weight: float = 1.0
    """Of the space contrast."""
    source_weight: float = 1.0
    """Of the source contrast."""
    physical_weight: float = 1.0
    """Of the physical losses; 0 switches them off."""
    separate_scales: bool = False
    """Give the source contrast a temperature of its own."""
    rotate: bool = True
    """Turn each RIR of a batch by a drawn yaw; labels and captions turn with it."""
    same_azimuth_share: float = 0.5
    """Share of the batches whose RIRs are all turned to one azimuth. Azimuth alone tells most RIRs of a batch apart and is learnt first;
    in these batches only distance, elevation, size and reverberation are left to tell them by. Nothing without ``rotate``."""
    mono_share: float = 0.0
    """Share of the batches whose clips have no place (ELSA's mono items): as many clips as a batch has items, copied to all channels,
    said in their own words; only the sources are contrasted."""
    trim: bool = True
    """Cut silence at both ends of the dry clips."""
    freeze: tuple[Literal["htsat", "roberta", "spatial_branch"], ...] = ()
    """Parts that are not trained."""
    look_epochs: int = 0
    """Epochs between two looks at the validation grid (paper 1, cpu 8)."""
    look_sources: int = 24
    """Validation clips of that grid, at most."""
    look_spaces: int = 24
    """Validation RIRs of that grid, at most."""
    compat: bool = False
    """DISSE's conventions as a whole: labels by clip and RIR, directions as a cosine of raw angles, channels as stored, mirrored words,
    nominal T30, no turns, no trimming, the last epoch's weights. For comparison only; the result names them."""
    num_devices: int = runtime_setting(default=1)
    """Devices that one training is spread over. The result is the same within rounding."""
    workers: int = runtime_setting(default=0)
    """Threads that decode the next batch's clips meanwhile."""

    def __post_init__(self) -> None:
        where = "train_spatial"
        for name in ("space_width", "batch_sources", "batch_spaces", "epochs", "steps", "cache_items", "look_epochs"):
            check_range(f"{where}.{name}", getattr(self, name), 0, 100_000_000)
        for name in ("accumulate", "look_sources", "look_spaces"):
            check_range(f"{where}.{name}", getattr(self, name), 1, 1_000_000)
        for name in ("warm_up_share", "hold_share", "floor_share", "same_azimuth_share", "mono_share"):
            check_range(f"{where}.{name}", getattr(self, name), 0.0, 1.0)
        for name in ("learning_rate", "weight_decay", "clip_norm", "space_weight", "source_weight", "physical_weight"):
            check_range(f"{where}.{name}", getattr(self, name), 0.0, 1e6)
        check_range(f"{where}.duration_s", self.duration_s, 0.0, 60.0)
        check_range(f"{where}.num_devices", self.num_devices, 1, 64)
        check_range(f"{where}.workers", self.workers, 0, 64)
        if self.warm_up_share + self.hold_share > 1:
            total = self.warm_up_share + self.hold_share
            raise InvalidValueError("shares exceed the training", where=f"{where}.hold_share", allowed="at most 1 in all", received=total)
        if not self.space_weight and not self.source_weight and self.task == "contrast":
            raise InvalidValueError("nothing is contrasted", where=f"{where}.space_weight", allowed="one weight above 0", received=0)


@dataclass(frozen=True)
class Request:
    """One training."""

    clips: str
    """Folder with a manifest of dry clips. Those of split ``train`` are trained on, those of ``val`` select."""
    catalogue: str
    """Folder with a catalogue of RIRs (simulate_rooms, import_rirs); its splits count in the same way."""
    seed: int = 42
    """Of weights, batches, turns and captions."""
    htsat: str = external_path(default="")
    """Folder or hub name (``laion/clap-htsat-fused``) of a CLAP model whose audio tower starts the source branch."""
    roberta: str = external_path(default="")
    """Folder or hub name (``FacebookAI/roberta-base``) of a RoBERTa model and its tokenizer."""
    branch: str = external_path(default="")
    """Checkpoint of a pre-trained spatial branch, or the folder of a training with task ``attributes``."""
    checkpoint: str = external_path(default="")
    """Checkpoint of a whole model in DISSE's format; it needs ``roberta`` too, for the tokenizer."""
    settings: Settings = Settings()
    """Sizes, labels, losses and pace."""

    def __post_init__(self) -> None:
        check_range("train_spatial.seed", self.seed, 0, 2**31 - 1)
        if self.checkpoint and not self.roberta:
            hint = "name the folder of roberta-base, or roberta-base itself where it is cached"
            raise InvalidValueError("its tokenizer is missing", where="train_spatial.roberta", allowed="a name", received="", hint=hint)


@dataclass(frozen=True)
class Result:
    """How the training ended; of the weights that were kept."""

    weights: int
    """Weights of the model."""
    steps: int
    """Gradient steps."""
    updates: int
    """Steps that were not skipped for an overflow of float16."""
    best_step: int
    """Step whose weights were kept."""
    train_clips: int
    """Clips trained on."""
    train_rirs: int
    """RIRs trained on."""
    unreadable: int
    """Training clips that could not be decoded."""
    loss: float
    """Mean over the last epoch; 0 where nothing was trained."""
    val_top1: float | None = None
    """Mean share of validation captions and sounds whose nearest partner has the right source, and the right space. None: no look."""
    val_direction_deg: float | None = None
    """Median angle between predicted and true direction on the validation grid."""
    faults: tuple[str, ...] = ()
    """Published faults that were reproduced on request."""
