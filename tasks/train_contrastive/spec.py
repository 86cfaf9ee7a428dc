"""Train an encoder on pairs of sounds that differ a little: synthesised ones (Cherep & Singh, 2025), or two views of real ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.contract import Stage, check_range, external_path, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(
    name="train_contrastive", environment="train", version=1, memory_mb=4000, time_limit_s=72 * 3600, cpu_threads=1, uses_gpu=True
)


@dataclass(frozen=True)
class Settings:
    """Sounds, network, loss and recipe. Where 0 or None means the preset's value, the field says so; the numbers are in ``recipe.py``."""

    preset: Literal["cpu", "paper"] = "cpu"
    """``cpu``: half the channels, small batches, Adam, about half an hour on a core. ``paper``: the published sizes and optimiser."""
    synth: Literal["voice", "voicefm", "parametric"] = "voice"
    """Synthesiser of the pairs; not looked at with real sounds, like the next ones up to ``control_rate_hz``."""
    delta: float = 0.25
    """Standard deviation of what is added to each parameter of both views, in unit range. Studied: 0.01, 0.05, 0.1, 0.25, 0.5."""
    group_deltas: dict[str, float] = field(default_factory=dict)
    """Another delta for single groups of parameters."""
    frozen: tuple[str, ...] = ()
    """Groups or parameters that both views share."""
    one_sided: bool = False
    """Perturb the second view only; the first has the parameters as drawn."""
    sampling: Literal["unit_uniform", "human_uniform"] = "unit_uniform"
    """Where parameters are uniform: in unit range (torchsynth) or in their own units (SynthAX)."""
    filtered: bool = False
    """Give the synthesiser a resonant low-pass filter."""
    transients: bool = False
    """Let its notes begin with a click."""
    events: int = 1
    """Sounds of a view, each with an onset and a gain."""
    control_rate_hz: int = 480
    """Of envelopes and modulation."""
    sample_rate_hz: int = 16000
    """Of the sounds; front_end vggish takes 16000 only."""
    duration_s: float = 1.0
    """Of a view. The encoder looks at its first second (vggish: 0.975 s)."""
    temporal_jitter: bool = False
    """Real sounds: each view is a stretch of its own."""
    layers: int = 1
    """Real sounds: a view is the sum of so many stretches of one clip, scaled to a peak of 1."""
    positives: Literal["clip", "label"] = "clip"
    """``clip``: two stretches of one real clip are a pair. ``label``: stretches of two clips of one label, and all views of a label belong
    together (supervised contrastive learning, Khosla et al., 2020); for ``clips`` with labels, and nt_xent."""
    background: float = 0.0
    """Real sounds: share of the views behind which a stretch of another clip sounds, 3 to 25 dB below (Niizumi et al., 2021, mix all)."""
    transform: Literal["none", "audiomentations", "masking", "specaugment", "recording"] = "none"
    """What each view goes through, synthesised or real: five alterations of the waveform, one of two ways to mask the spectrogram, or
    another level, response and noise floor with small masks (``recording``, for vggish).
    The published default is audiomentations for both; it is off here, since with it the pairs do not differ by delta alone."""
    impulse_responses: str = external_path(default="")
    """Folder of sound files that audiomentations convolves with; empty: without that alteration."""
    front_end: Literal["vggish", "simple"] = "vggish"
    """Features: VGGish's log-mel [1, 96, 64], or torchaudio's defaults [1, 81, 128]."""
    dimensions: int = 512
    """Of the network's output."""
    embedding: Literal["last", "layer1", "layer2", "layer3", "layer4"] = "last"
    """What embeds afterwards: the network's output, as published, or the means of a layer's channels. What comes behind that layer is then
    thrown away like the projection: the last layers know the training's task best, others transfer better (Bordes et al., 2023)."""
    channels: Literal[1, 3] = 1
    """Channels of the network's first convolution."""
    width: int = 0
    """Channels of its first layer. 0: the preset's (cpu 32, paper 64, which makes 11,432,960 weights)."""
    projection: int = 0
    """Width of two layers between embedding and loss, which are thrown away afterwards; 0: none, as published. For vicreg and barlow."""
    loss: Literal["align_uniform", "nt_xent", "vicreg", "barlow"] = "align_uniform"
    """What is minimised."""
    align_weight: float = 1.0
    """align_uniform: weight of the alignment."""
    uniform_weight: float = 1.0
    """align_uniform: weight of the uniformity."""
    align_alpha: float = 2.0
    """α, power of the distance of two views."""
    uniform_t: float = 2.0
    """t, sharpness of the uniformity, which ends above −2t."""
    temperature: float = 0.5
    """nt_xent: what the cosines are divided by."""
    vicreg_weights: tuple[float, float, float] = (25.0, 25.0, 1.0)
    """vicreg: of invariance, variance and covariance."""
    barlow_off_diagonal: float = 5e-3
    """barlow: λ, weight of the correlations between dimensions."""
    optimizer: Literal["", "sgd", "adam"] = ""
    """Empty: the preset's (cpu adam, paper sgd)."""
    learning_rate: float = 0.0
    """0: sgd 0.12 · batch_pairs / 256 (a true division: the published one gives 0 below 256), adam 1e-3."""
    momentum: float = 0.0
    """sgd's; published 0 (its origin: 0.9)."""
    weight_decay: float | None = None
    """None: sgd 1e-6, adam 1e-4."""
    milestones: tuple[float, ...] = (0.775, 0.85, 0.925)
    """Shares of the training after which the rate falls to a tenth."""
    epochs: int = 0
    """0: the preset's (paper 200)."""
    pairs_per_epoch: int = 0
    """Pairs of an epoch, training and validation; no synthesised pair comes twice. 0: the preset's (paper 100,000)."""
    batch_pairs: int = 0
    """Pairs per step over all devices. 0: the preset's (paper 768)."""
    train_fraction: float = 0.9
    """Share of an epoch's batches that are trained on; the others are looked at. With real sounds also the share of the clips."""
    look_epochs: int = 0
    """Epochs between two looks at validation pairs. 0: the preset's (paper 10)."""
    look_batches: int = 0
    """Most batches of a look. 0: the preset's (paper: all that ``train_fraction`` leaves)."""
    keep_epochs: int = 0
    """Epochs between two encoders that are kept below ``epochs/``. 0: the preset's (paper 10; cpu none)."""
    sample_pairs: int = 6
    """Validation pairs that are written as sound files."""
    tensorboard: bool = False
    """Write curves, the pairs' sounds and their picture as an event file too (``tensorboard/``), for ``tensorboard --logdir``."""
    precision: Literal["", "float32", "bfloat16"] = ""
    """Number format of the network's layers (torch's autocast); weights, losses and optimiser stay float32. Empty: the preset's (cpu
    bfloat16, which halves the time on processors that have it and lengthens it on others; paper float32)."""
    max_reject_fraction: float = 0.05
    """Real sounds: share of unreadable or empty files above which the stage fails."""
    num_devices: int = runtime_setting(default=1)
    """Devices that one training is spread over; ``batch_pairs`` must be a multiple. The result is the same within rounding."""

    def __post_init__(self) -> None:
        where = "train_contrastive"
        for name in ("delta", "train_fraction", "max_reject_fraction", "background"):
            check_range(f"{where}.{name}", getattr(self, name), 0.0, 1.0)
        for name, value in self.group_deltas.items():
            check_range(f"{where}.group_deltas.{name}", value, 0.0, 1.0)
        for name in ("width", "projection", "epochs", "pairs_per_epoch", "look_epochs", "look_batches", "keep_epochs"):
            check_range(f"{where}.{name}", getattr(self, name), 0, 100_000_000)
        for name in ("align_weight", "uniform_weight", "learning_rate", "barlow_off_diagonal"):
            check_range(f"{where}.{name}", getattr(self, name), 0.0, 1e6)
        for weight in self.vicreg_weights:
            check_range(f"{where}.vicreg_weights", weight, 0.0, 1e6)
        check_range(f"{where}.momentum", self.momentum, 0.0, 0.9999)
        check_range(f"{where}.align_alpha", self.align_alpha, 0.1, 16.0)
        check_range(f"{where}.uniform_t", self.uniform_t, 1e-3, 100.0)
        check_range(f"{where}.temperature", self.temperature, 1e-3, 100.0)
        check_range(f"{where}.layers", self.layers, 1, 64)
        check_range(f"{where}.events", self.events, 1, 64)
        check_range(f"{where}.dimensions", self.dimensions, 2, 65536)
        check_range(f"{where}.duration_s", self.duration_s, 0.05, 60.0)
        check_range(f"{where}.sample_rate_hz", self.sample_rate_hz, 1000, 192_000)
        check_range(f"{where}.control_rate_hz", self.control_rate_hz, 1, self.sample_rate_hz)
        check_range(f"{where}.sample_pairs", self.sample_pairs, 0, 1000)
        check_range(f"{where}.num_devices", self.num_devices, 1, 64)
        if self.weight_decay is not None:
            check_range(f"{where}.weight_decay", self.weight_decay, 0.0, 10.0)
        for share in self.milestones:
            check_range(f"{where}.milestones", share, 0.0, 1.0)
        self._check_together()

    def _check_together(self) -> None:
        """Refuse settings that do not go together.

        Raises:
            InvalidValueError: with what would.
        """
        where = "train_contrastive"
        if self.front_end == "vggish" and self.sample_rate_hz != 16000:
            hint = "take front_end=simple for other rates"
            raise InvalidValueError(
                "vggish has one rate", where=f"{where}.sample_rate_hz", allowed=16000, received=self.sample_rate_hz, hint=hint
            )
        if self.batch_pairs == 1:
            raise InvalidValueError(
                "a pair alone has nothing to be unlike", where=f"{where}.batch_pairs", allowed="0, or 2 or more", received=1
            )
        if self.transform == "recording" and self.front_end != "vggish":
            raise InvalidValueError("needs magnitudes", where=f"{where}.front_end", allowed="vggish", received=self.front_end)
        if self.positives == "label" and self.loss != "nt_xent":
            raise InvalidValueError(
                "needs several positives", where=f"{where}.loss", allowed="nt_xent with positives=label", received=self.loss
            )
        if self.impulse_responses and self.transform != "audiomentations":
            hint = "they are one of the alterations of transform=audiomentations"
            raise InvalidValueError(
                "not used", where=f"{where}.impulse_responses", allowed="empty", received=self.impulse_responses, hint=hint
            )


@dataclass(frozen=True)
class Request:
    """One training; with neither ``clips`` nor ``folder`` nor ``pairs`` the pairs are synthesised."""

    seed: int = 0
    """Of weights, pairs and alterations."""
    clips: str = ""
    """Real sounds: folder of a manifest, all of whose rows are train clips."""
    folder: str = external_path(default="")
    """Real sounds: folder of sound files outside the store, searched with its subfolders."""
    settings: Settings = Settings()
    """Sounds, network, loss and recipe."""
    pairs: str = ""
    """Synthesised pairs on disk, over and over, instead of an endless stream: folder of ``synthesize``, or of another synthesiser that
    writes the like (``synthesize_synthax``). The settings of the synthesiser are then not looked at."""

    def __post_init__(self) -> None:
        check_range("train_contrastive.seed", self.seed, 0, 2**31 - 1)
        sources = [source for source in (self.clips, self.folder, self.pairs) if source]
        if len(sources) > 1:
            raise InvalidValueError("one source", where="train_contrastive", allowed="clips, folder or pairs", received=sources)
        if self.settings.positives == "label" and not self.clips:
            received, hint = self.folder or self.pairs or "synthesised pairs", "name sources in the flow, or give clips with labels"
            raise InvalidValueError("no labels", where="train_contrastive.positives", allowed="clips", received=received, hint=hint)
        real = bool(self.clips or self.folder)
        if not real and (self.settings.temporal_jitter or self.settings.layers > 1):
            hint = "synthesised views differ by delta; give clips or folder"
            raise InvalidValueError(
                "for real sounds only", where="train_contrastive.temporal_jitter", allowed="off, and layers 1", received=True, hint=hint
            )


@dataclass(frozen=True)
class Result:
    """How the training ended; the encoder is the one of the last step."""

    weights: int
    """Weights of the network."""
    steps: int
    """Gradient steps."""
    pairs: int
    """Pairs trained on, counted as often as they came."""
    clips: int
    """Real clips trained on; 0 with synthesised pairs."""
    loss: float
    """Mean training loss of the last epoch."""
    align: float
    """Alignment of validation pairs at the end: mean distance of two views to the power α, 0 … 2^α."""
    uniform: float
    """Uniformity of validation pairs at the end: 0 when all embeddings are one, about −2t at best."""
    spread: float
    """Mean deviation of the dimensions of unit embeddings times √d: 1 spread evenly, 0 all one."""
    collapsed: bool
    """Uniformity or spread say that the embeddings tell sounds apart hardly or not at all."""
    saturation: float | None
    """Share of perturbed parameters that were held at a bound, mean over the steps; None with real sounds."""
