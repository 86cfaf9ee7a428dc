"""Embeds sounds and texts with a loaded CLAP model: the same way for the filter, the retrieval and the measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from core import audio
from core.audio_checks import Limits, Unusable, heard
from tasks.clap_model.loading import Scorer
from tasks.clap_model.windows import windows
from tasks.matmul import number_format

CLIPS_AT_ONCE = 32
"""Clips to hand to :meth:`Embedder.sounds` at a time: they are in memory together, their windows are embedded in batches."""
WINDOWS_ON_CPU = 4
"""Windows a CPU embeds at a time at most: the activations of more no longer fit its caches (0.15 s each with 4, 0.20 with 1 or 16)."""
TEXTS_AT_ONCE = 16
LIMITS = Limits(min_duration_s=0.0, max_duration_s=3600.0)


class Embedder:
    """A loaded model, and the texts it has embedded so far."""

    def __init__(self, model: Scorer, device: str, batch_size: int = 16, precision: Literal["float32", "bfloat16"] = "float32") -> None:
        """Take a model in evaluation mode.

        Args:
            model: the model, on its device.
            device: where it is.
            batch_size: windows embedded at a time; on a CPU :data:`WINDOWS_ON_CPU` at most.
            precision: what the audio tower multiplies in; spectrograms, projection and texts are always float32.
        """
        self.model, self.device, self.precision = model, device, precision
        self.batch = min(batch_size, WINDOWS_ON_CPU) if device == "cpu" else batch_size
        self.length = round(model.window_s * model.sample_rate_hz)
        """Samples of a window."""
        self._texts: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit-length embeddings [texts, dim] on the model's device; a text is embedded once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(new), TEXTS_AT_ONCE):
            part = new[start : start + TEXTS_AT_ONCE]
            self._texts.update(zip(part, self.model.text_embedding(part), strict=True))
        return torch.stack([self._texts[text] for text in texts])

    def cut(self, sound: audio.Samples, sample_rate_hz: int) -> torch.Tensor:
        """Return the windows [n, samples] at the model's rate of a sound [samples]."""
        return windows(audio.resample(sound, sample_rate_hz, self.model.sample_rate_hz), self.length)

    @torch.inference_mode()
    def embed(self, cut: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the unit-length embeddings [n, dim] of every sound's windows [n, samples], on the model's device."""
        if not cut:
            return []
        parts = torch.cat(list(cut)).to(self.device).split(self.batch)
        with number_format(self.device, self.precision):
            embedded = torch.cat([self.model.audio_embedding(part) for part in parts])
        return list(embedded.split([len(part) for part in cut]))

    def sounds(self, paths: Mapping[str, Path]) -> tuple[dict[str, torch.Tensor], dict[str, Unusable | OSError]]:
        """Decode and embed clips.

        Args:
            paths: sound files by clip_id.

        Returns:
            by clip_id the unit-length embeddings [n, dim] of a clip's windows, and why other clips are unusable.
        """
        cut, unusable = heard(paths, LIMITS, self.cut)
        return dict(zip(cut, self.embed(list(cut.values())), strict=True)), unusable
