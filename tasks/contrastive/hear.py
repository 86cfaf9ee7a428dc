"""The encoder behind HEAR's interface (Turian et al., 2022), for benchmarks that load a module by name: ``tasks.contrastive.hear``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import InvalidValueError
from tasks.contrastive.embedder import STRETCHES_AT_ONCE, Embedder
from tasks.contrastive.encoder import Encoder, load
from tasks.contrastive.features import fitted

TIMESTAMP_HOP_MS = 50.0
"""Between two timestamp embeddings; HEAR asks for 50 ms or less."""


class Model(nn.Module):
    """A trained encoder with the attributes that HEAR reads."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.sample_rate = encoder.sample_rate_hz
        self.scene_embedding_size = self.timestamp_embedding_size = encoder.dimensions


def load_model(model_file_path: str = "", device: str = "cpu") -> Model:
    """Return the model of a folder of train_contrastive, or of its ``model.pt``.

    Raises:
        InvalidValueError: no path, or no encoder there.
    """
    if not model_file_path:
        raise InvalidValueError("which encoder?", where="load_model", allowed="a folder of train_contrastive, or its model.pt", received="")
    return Model(load(Path(model_file_path), device))


def get_scene_embeddings(audio: Tensor, model: Model) -> Tensor:
    """Return one embedding for each sound, [sounds, d] float32: the mean over its stretches, as the stage ``embed`` takes it.

    Args:
        audio: [sounds, samples] at ``model.sample_rate``, full scale ±1.
        model: from :func:`load_model`.
    """
    checked(audio)
    embedder = Embedder(model.encoder, str(next(model.parameters()).device))
    return torch.from_numpy(np.stack([embedder.clip(sound.detach().cpu().numpy())[0] for sound in audio])).to(audio.device)


@torch.inference_mode()
def get_timestamp_embeddings(audio: Tensor, model: Model) -> tuple[Tensor, Tensor]:
    """Return an embedding every 50 ms, of the stretch around that moment; beyond the ends there is silence.

    Args:
        audio: [sounds, samples] at ``model.sample_rate``, full scale ±1.
        model: from :func:`load_model`.

    Returns:
        Embeddings [sounds, timestamps, d] float32, and timestamps [sounds, timestamps] in milliseconds.
    """
    checked(audio)
    encoder, device = model.encoder, next(model.parameters()).device
    hop, window = round(TIMESTAMP_HOP_MS / 1000 * model.sample_rate), encoder.features.window_samples
    number = audio.shape[1] // hop + 1
    padded = fitted(nn.functional.pad(audio.float(), (window // 2, 0)), window + (number - 1) * hop)
    found = []
    for sound in padded:
        cut = sound.unfold(0, window, hop)
        found.append(torch.cat([encoder(part.to(device)).float() for part in cut.split(STRETCHES_AT_ONCE)]))
    timestamps = torch.arange(number, dtype=torch.float32) * hop * 1000 / model.sample_rate
    return torch.stack(found).to(audio.device), timestamps.expand(len(audio), -1).to(audio.device)


def checked(audio: Tensor) -> None:
    """Refuse what is not a batch of sounds.

    Raises:
        InvalidValueError: another shape, or no sounds.
    """
    if audio.ndim != 2 or not len(audio) or not audio.shape[1]:
        raise InvalidValueError("not a batch of sounds", where="hear.audio", allowed="[sounds, samples]", received=tuple(audio.shape))
