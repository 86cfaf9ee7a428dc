"""Train a network that estimates the preset of a sound, with a loss between presets and one by a preset encoder as a proxy of the ear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(
    name="train_sound_matcher", environment="presets", version=1, memory_mb=4000, time_limit_s=72 * 3600, cpu_threads=2, uses_gpu=True
)


@dataclass(frozen=True)
class Settings:
    """Sizes and pace. What is left at None is the preset's; see ``docs/sound_matching.md``."""

    preset: Literal["cpu", "paper"] = "cpu"
    """``cpu``: a small network and a short training. ``paper``: the published one, with the optimiser of the synthesiser."""
    schedule: Literal["parameters", "mix", "switch", "audio"] = "mix"
    """Which loss counts when: that between presets only (PLoss), from it to half of each, from it to the proxy's, or the proxy's only."""
    audio_first: bool = False
    """mix and switch: begin with the proxy's loss instead."""
    relaxation: Literal["soft", "straight_through", "hard"] = "soft"
    """How switches and categories reach the proxy: as probabilities, decided with their gradient, or, as published, without one."""
    proxy_weight: float = 10.0
    """Factor of the proxy's loss."""
    category_weight: float = 0.01
    """Factor of the categories' summed cross-entropies."""
    smoothing: float | None = None
    """Label smoothing of the categories; published: 0.02 for Dexed, 0.01 for Diva."""
    channels: tuple[int, ...] | None = None
    """Of the convolutions."""
    mixed: int | None = None
    """Channels of the convolution of width 1."""
    dropout: float = 0.3
    """Before the last layer."""
    epochs: int | None = None
    """Passes over the training sounds."""
    batch_sounds: int | None = None
    """Sounds per step."""
    learning_rate: float | None = None
    """AdamW's highest rate."""
    betas: tuple[float, float] | None = None
    """AdamW's."""
    weight_decay: float | None = None
    """AdamW's."""
    warm_up_share: float | None = None
    """Share of the steps in which the rate rises linearly."""
    plateau_factor: float = 0.5
    """What the rate is multiplied by when the validation score stays where it is."""
    plateau_patience: int = 5
    """Looks without a better score before that."""
    look_epochs: int | None = None
    """Epochs between two looks at the validation sounds; the last epoch is always followed by one."""
    val_share: float = 0.11
    """Share of the training sounds that validate, in a set without validation sounds of its own."""
    val_sounds: int = 256
    """Validation sounds that are re-rendered at each look, by a hash of their values; −1: all; 0: none, the loss selects then."""
    proxy_epochs: int = 0
    """Passes of the proxy over the training sounds before anything else; 0: it stays as it is. Published: 250, on hand-made presets."""
    proxy_learning_rate: float | None = None
    """Of the proxy; published: 1e-3 for Dexed, 5e-5 for Diva."""
    proxy_batch_presets: int = 64
    """Presets per step of the proxy."""
    proxy_warm_up_share: float = 0.04
    """Share of the proxy's steps in which the rate rises linearly; published: 10 of 250 epochs."""

    def __post_init__(self) -> None:
        limits = {
            "proxy_weight": (0.0, 1e6), "category_weight": (0.0, 1e6), "smoothing": (0.0, 0.999), "mixed": (1, 100_000),
            "dropout": (0.0, 0.99), "epochs": (1, 1_000_000), "batch_sounds": (2, 100_000), "learning_rate": (1e-9, 10.0),
            "weight_decay": (0.0, 10.0), "warm_up_share": (0.0, 1.0), "plateau_factor": (1e-6, 1.0), "plateau_patience": (0, 1_000_000),
            "look_epochs": (1, 1_000_000), "val_share": (0.001, 0.9), "val_sounds": (-1, 10**9), "proxy_epochs": (0, 1_000_000),
            "proxy_learning_rate": (1e-9, 10.0), "proxy_batch_presets": (2, 100_000), "proxy_warm_up_share": (0.0, 1.0),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            if getattr(self, name) is not None:
                check_range(f"train_sound_matcher.{name}", getattr(self, name), low, high)
        for number, beta in enumerate(self.betas or ()):
            check_range(f"train_sound_matcher.betas[{number}]", beta, 0.0, 0.999999)
        for number, count in enumerate((1,) if self.channels is None else self.channels or (0,)):
            check_range(f"train_sound_matcher.channels[{number}]", count, 1, 100_000)


@dataclass(frozen=True)
class Request:
    """One training."""

    train: str
    """Preset set of render_presets, with ``audio_clips`` or ``mel_clips`` −1, and embeddings unless the schedule is ``parameters``."""
    seed: int
    """Seed of weights, batches and, where the set has no validation sounds, their choice."""
    val: str = ""
    """Preset set whose rows of split ``val`` validate; empty: ``train``."""
    proxy: str = ""
    """Preset encoder of train_preset_encoder, trained on the same synthesiser and audio model."""
    plugin: str = external_path(default="")
    """Plug-in that the sets were rendered with; ``dexed`` and ``builtin`` have none."""
    uri: str = ""
    """Instead of a file: the URI of an LV2 plug-in."""
    settings: Settings = field(default_factory=Settings)
    """Sizes and pace."""
    workers: int = runtime_setting(default=1)
    """Processes that play presets at a look."""

    def __post_init__(self) -> None:
        check_range("train_sound_matcher.seed", self.seed, 0, 2**31 - 1)
        check_range("train_sound_matcher.workers", self.workers, 1, 256)
        if not self.train:
            raise InvalidValueError("nothing to train on", where="train_sound_matcher.train", allowed="a preset set", received="")
        if self.settings.schedule != "parameters" and not self.proxy:
            hint = "schedule parameters needs none"
            raise InvalidValueError("no proxy", where="train_sound_matcher.proxy", allowed="a preset encoder", received="", hint=hint)
        if self.settings.proxy_epochs and not self.proxy:
            received = self.settings.proxy_epochs
            raise InvalidValueError("which proxy?", where="train_sound_matcher.proxy", allowed="a preset encoder", received=received)


@dataclass(frozen=True)
class Result:
    """How the training ended. Figures are of validation sounds and of the weights in ``model.pt``; None: not measured."""

    schedule: str
    """Which loss counted when."""
    seed: int
    """Of weights and batches."""
    parameters: int
    """Weights of the network."""
    train_presets: int
    """Sounds trained on."""
    val_presets: int
    """Sounds looked at."""
    steps: int
    """Gradient steps."""
    best_step: int
    """Step whose weights were kept."""
    val_a_mean: float | None
    """Mean of the four distances between re-rendered and right sounds, lower is better; None without re-rendering."""
    val_mae: float | None
    """Mean absolute error of numbers."""
    val_switch_accuracy: float | None
    """Share of right switches."""
    val_category_accuracy: float | None
    """Share of right categories."""
    val_proxy_loss: float | None
    """Mean absolute error between the proxy's embeddings and the sounds'."""
    proxy_l1_before: float | None
    """The proxy's own mean absolute error on validation presets, in the audio model's units, before fine-tuning."""
    proxy_l1_after: float | None
    """Likewise, after it."""
