"""Sound from mel power, by Griffin and Lim's (1984) method or by a neural vocoder in a TorchScript file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from core.errors import InvalidValueError
from tasks.grid.features import Features
from tasks.grid.inversion import Vocoder, front_end_of, mel_to_sound
from tasks.grid.mel import MelFrontEnd
from tasks.plot_latents.spec import Settings

Array = npt.NDArray[np.float32]
LEAST_POWER = 1e-10
"""Mel power below this is drawn, and given to a vocoder, as this much: both are logarithmic."""
PEAK = 0.5
"""Peak of a sound whose level the features do not hold."""
LEVELLESS = "legacy_frame_max"
"""The normalisation that erases the level of a clip."""


class Sounder:
    """Makes sounds of the features of one grid.

    Args:
        features: what their mel power means.
        settings: iterations and seed of Griffin and Lim's method.
        vocoder: TorchScript file, or none.
    """

    def __init__(self, features: Features, settings: Settings, vocoder: Path | None) -> None:
        self.front_end, self.samples, self.settings = front_end_of(features), features.samples, settings
        self.levelless = features.normalisation == LEVELLESS
        self.vocoder = load_vocoder(vocoder) if vocoder else None
        how = f"vocoder {vocoder.name}" if vocoder else f"Griffin–Lim, {settings.griffin_lim_iterations} iterations"
        self.description = f"{how}; level not known, peak set to {PEAK}" if self.levelless else how

    def sounds(self, power: Array) -> Array:
        """Return float32 [clips, samples] of mel power [clips, mels, frames]."""
        made = mel_to_sound(
            power,
            self.front_end,
            self.samples,
            seed=self.settings.seed,
            iterations=self.settings.griffin_lim_iterations,
            vocoder=self.vocoder,
        )
        if self.levelless:
            made = made * (PEAK / np.maximum(1e-9, np.abs(made).max(axis=1, keepdims=True)))
        return made


def load_vocoder(path: Path) -> Vocoder:
    """Return the vocoder in a TorchScript file; see ``spec.Request.vocoder`` for what it takes and gives.

    TorchScript runs in torch's own interpreter, not in Python, but it is a program all the same: only a file that the user named is opened.

    Raises:
        InvalidValueError: the file is no TorchScript module, or what the vocoder returns is no sound for each clip.
    """
    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        hint = "torch.jit.script(model).save(path) writes one"
        raise InvalidValueError(
            "no vocoder", where=str(path), allowed="a TorchScript module", received=type(error).__name__, hint=hint
        ) from error

    def vocode(power: Tensor, front_end: MelFrontEnd) -> Tensor:
        made = module(power.clamp_min(LEAST_POWER).log())
        made = made.squeeze(1) if isinstance(made, Tensor) and made.ndim == 3 else made
        if not isinstance(made, Tensor) or made.ndim != 2 or len(made) != len(power) or not torch.isfinite(made).all():
            received = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            allowed = f"finite [{len(power)}, samples] or [{len(power)}, 1, samples]"
            raise InvalidValueError("not a sound for each clip", where=str(path), allowed=allowed, received=received)
        return made.float()

    return vocode
