"""What a ``syntone`` run can be told; the shape of ``configs/syntone.yaml``. Stage settings are the stages' own dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.contract import build, check_range, to_dict
from core.errors import InvalidValueError, nearest
from flows.settings import RunSettings
from tasks.classify_waveform import spec as classify_waveform
from tasks.evaluate_disentanglement import spec as evaluate_disentanglement
from tasks.featurise import spec as featurise
from tasks.plot_latents import spec as plot_latents
from tasks.report_disentanglement import spec as report_disentanglement
from tasks.synthesize_grid import spec as synthesize_grid
from tasks.train_vae import spec as train_vae
from tasks.train_vae.spec import Settings as VaeSettings


@dataclass(frozen=True)
class Config(RunSettings):
    """A whole ``syntone`` run."""

    name: str = "tones"
    """Short name of the grid, shown everywhere."""
    source: str = ""
    """A published ``.npz`` file to take the clips from; empty: the grid is synthesised."""
    synthesize_grid: synthesize_grid.Settings = field(
        default_factory=lambda: synthesize_grid.Settings(freq_start_hz=400.0, num_freqs=100, num_amps=10)
    )
    featurise: featurise.Settings = field(default_factory=featurise.Settings)
    methods: tuple[str, ...] = ("vae", "beta_vae", "beta_tcvae", "factor_vae")
    """What is compared; also ``dip_vae_ii`` and ``annealed_vae``."""
    training_seeds: tuple[int, ...] = (1, 2, 3)
    """One training per method and seed."""
    train_vae: train_vae.Settings = field(default_factory=train_vae.Settings)
    method_settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of ``train_vae`` that differ for a method: ``{factor_vae: {epochs: 40}}``."""
    classify: bool = True
    """Whether a small network is trained to name the waveforms: what cannot be told apart cannot be disentangled either."""
    classify_waveform: classify_waveform.Settings = field(default_factory=classify_waveform.Settings)
    evaluate_disentanglement: evaluate_disentanglement.Settings = field(default_factory=evaluate_disentanglement.Settings)
    plot_latents: plot_latents.Settings = field(default_factory=plot_latents.Settings)
    vocoder: str = ""
    """A TorchScript vocoder for the page's sounds, a program that is run: name only files of people you trust. Empty: Griffin-Lim."""
    report_disentanglement: report_disentanglement.Settings = field(default_factory=report_disentanglement.Settings)
    shards: int = 4
    """Parts that synthesis and features are cut into; each is recorded and resumed by itself."""
    export_to: str = ""
    """Folder that the grid is copied to, with its card; the store keeps its own."""

    def __post_init__(self) -> None:
        check_range("shards", self.shards, 1, 10_000)
        if not (self.methods and self.training_seeds):
            raise InvalidValueError("empty", where="methods, training_seeds", allowed="at least one of each", received=())
        for where, names in (("methods", self.methods), ("method_settings", tuple(self.method_settings))):
            for name in names:
                if name not in train_vae.METHODS:
                    raise InvalidValueError("no such method", where=where, received=name, hint=nearest(name, train_vae.METHODS))
        for where, values in (("methods", self.methods), ("training_seeds", self.training_seeds)):
            if len(set(values)) < len(values):
                raise InvalidValueError("something twice", where=where, allowed="different values", received=list(values))
        for method in self.methods:
            self.training(method)

    def training(self, method: str) -> VaeSettings:
        """Return a method's settings."""
        own = self.method_settings.get(method, {})
        return build(VaeSettings, {**to_dict(self.train_vae), **own}, f"method_settings.{method}")
