"""What is kept of the sounds: their embeddings, and some of the sounds and spectrograms themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from core.context import Context
from core.errors import InvalidValueError
from tasks.audio_models.interface import AudioModel
from tasks.audio_models.levels import Levels
from tasks.audio_models.opening import open_audio_model
from tasks.render_presets.spec import Settings

Audio = npt.NDArray[np.float32]
DEFAULT_RATE_HZ = 32000


def model_of(settings: Settings, context: Context) -> AudioModel | None:
    """Open the audio model that the settings name, if any."""
    if not settings.audio_model:
        return None
    weights = f":{context.locate(settings.audio_weights)}" if settings.audio_weights else ""
    return open_audio_model(settings.audio_model + weights, context.device, settings.reduction)


def rate_of(settings: Settings, model: AudioModel | None) -> int:
    """Return the sample rate to render at.

    Raises:
        InvalidValueError: one that the audio model does not take.
    """
    if model is None:
        return settings.sample_rate_hz or DEFAULT_RATE_HZ
    if settings.sample_rate_hz not in (0, model.sample_rate_hz):
        where = "render_presets.sample_rate_hz"
        raise InvalidValueError(
            f"{model.name} listens at another rate", where=where, allowed=model.sample_rate_hz, received=settings.sample_rate_hz
        )
    return model.sample_rate_hz


class Listener:
    """Turns the sounds of a block into what is kept of them.

    Args:
        model: that listens, if any.
        rate_hz: of the sounds.
        device: to listen on.
    """

    def __init__(self, model: AudioModel | None, rate_hz: int, device: str) -> None:
        self.model, self.device = model, device
        self._levels = Levels(rate_hz).to(device)

    def embeddings(self, sounds: Sequence[Audio]) -> Audio:
        """Return the embeddings [sounds, m] of sounds [T]; m is 0 without a model."""
        if self.model is None or not sounds:
            return np.zeros((len(sounds), 0 if self.model is None else self.model.dimensions), np.float32)
        with torch.inference_mode():
            found = self.model(torch.from_numpy(np.stack(sounds)).to(self.device))
        return np.ascontiguousarray(found.float().cpu().numpy())

    def spectrogram(self, sound: Audio) -> npt.NDArray[np.float16]:
        """Return the natural-log mel power [128, frames] of a sound [T], float16."""
        with torch.inference_mode():
            found = self._levels(torch.from_numpy(sound)[None].to(self.device))[0]
        return np.asarray(found.cpu().numpy().astype(np.float16))
