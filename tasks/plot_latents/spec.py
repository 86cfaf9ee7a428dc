"""Draw and sound what a trained autoencoder does: reconstructions of held-out clips, samples, traversals, responses of the codes."""

from __future__ import annotations

from dataclasses import dataclass

from core.contract import Stage, check_range, external_path

STAGE = Stage(name="plot_latents", environment="train", version=1, memory_mb=2000, time_limit_s=4 * 3600, cpu_threads=1)


@dataclass(frozen=True)
class Settings:
    """How much is shown, and how."""

    reconstructions_per_class: int = 1
    """Held-out clips reconstructed for each class of the first nominal factor (the waveform). The choice hangs on the seed and the clips'
    numbers, not on the model: pages show the same clips for every method."""
    samples: int = 6
    """Samples from the prior N(0, I) that are drawn and sounded."""
    gif_samples: int = 100
    """Samples in the animation of samples, drawn but not sounded; the first ones are those that sound."""
    steps: int = 10
    """Steps of a traversal."""
    reach: float = 3.0
    """A traversal goes from −reach to +reach, in standard deviations of the prior."""
    griffin_lim_iterations: int = 128
    """Iterations of Griffin and Lim's (1984) phase estimation for every sound; unused with a vocoder. The published code has 512: three
    times the time, and no closer to the mel power (square waves: −19.8 dB error after 128, −19.7 after 512)."""
    range_db: float = 80.0
    """Range of the mel pictures below the loudest held-out clip, in dB."""
    excerpt_ms: float = 8.0
    """Length of the waveform that is drawn, from the middle of the clip."""
    seed: int = 0
    """Of the choice of clips, of the samples and of the starting phases."""

    def __post_init__(self) -> None:
        check_range("plot_latents.reconstructions_per_class", self.reconstructions_per_class, 1, 100)
        check_range("plot_latents.samples", self.samples, 0, 1000)
        check_range("plot_latents.gif_samples", self.gif_samples, 1, 10_000)
        check_range("plot_latents.steps", self.steps, 2, 100)
        check_range("plot_latents.reach", self.reach, 0.01, 100.0)
        check_range("plot_latents.griffin_lim_iterations", self.griffin_lim_iterations, 1, 100_000)
        check_range("plot_latents.range_db", self.range_db, 1.0, 300.0)
        check_range("plot_latents.excerpt_ms", self.excerpt_ms, 0.1, 1e6)


@dataclass(frozen=True)
class Request:
    """One trained model."""

    model: str
    """Folder of ``train_vae``."""
    features: str
    """Folder of ``featurise`` that the model was trained on."""
    grid: str
    """Folder of ``synthesize_grid``; the original sounds."""
    vocoder: str = external_path(default="")
    """A TorchScript file instead of Griffin and Lim: float32 [clips, mels, frames], the natural logarithm of the mel power, no less than
    1e-10, → [clips, samples] or [clips, 1, samples] at the grid's rate. TorchScript is a program: name only files of people you trust."""
    settings: Settings = Settings()
    """What is shown."""


@dataclass(frozen=True)
class Result:
    """What was made."""

    pictures: int
    """Pictures and animations written."""
    sounds: int
    """Sounds written."""
    base_clip: int
    """Row of the held-out clip whose code the traversals start from."""
    heldout_split: str
    """Split that the clips shown are from: ``test``, or ``val`` where there are no test clips."""
