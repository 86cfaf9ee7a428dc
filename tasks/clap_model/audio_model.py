"""CLAP's audio tower as an audio model of synth-proxy's kind: sounds of one sample rate in, one vector each out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from core import keys
from tasks.audio_models.interface import AudioModel, Reduction, frozen
from tasks.clap_model.embedding import Embedder
from tasks.clap_model.loading import CONFIG, WEIGHTS, CompactClap, PublishedClap, load
from tasks.clap_model.windows import windows

NAME = "clap"
WINDOWS_AT_ONCE = 16
"""Windows embedded at a time on a GPU; the embedder takes fewer on a CPU. No setting: the last bits of a vector hang on it."""


class ClapEar(AudioModel):
    """A CLAP model that listens; a moment is a window of its length, and its vector has unit length (the mean of several has less).

    Args:
        model: compact or published, on its device.
        digest: SHA-256 of its weights, and configuration where it has one.
        device: where the model is.
        reduction: over a sound's windows.
    """

    def __init__(self, model: CompactClap | PublishedClap, digest: str, device: str, reduction: Reduction = "avg") -> None:
        super().__init__(
            NAME, model.sample_rate_hz, int(model.clap.joint_embed_shape), includes_mel=False, reduction=reduction,
            digest=digest,
        )  # fmt: skip
        self.window_s = model.window_s
        self.model = model
        self.embedder = Embedder(model, device, WINDOWS_AT_ONCE)

    def moments(self, audio: Tensor) -> Tensor:
        """Return the embedding of each window [sounds, windows, dim]; see :class:`AudioModel`."""
        cut = [windows(sound, self.embedder.length) for sound in audio.cpu().numpy()]  # alike in number, as the sounds in length
        return torch.stack(self.embedder.embed(cut))


def open_clap(path: Path, audio_model: str, text_model: str, device: str, reduction: Reduction = "avg") -> ClapEar:
    """Open a checkpoint: a folder of ``train_clap`` or a published file; see :func:`tasks.clap_model.loading.load`.

    Raises:
        InvalidValueError: it cannot be loaded, or is of another network.
    """
    model, _ = load(path, audio_model, text_model, device)
    digest = keys.files_digest([path / CONFIG, path / WEIGHTS]) if path.is_dir() else keys.file_digest(path)
    ear = ClapEar(model, digest, device, reduction)
    frozen(ear, device)
    return ear
