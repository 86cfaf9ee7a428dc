"""Loads clips one by one and keeps what the measures need of each; a clip's features hang on nothing but the clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from core import audio
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model.embedding import Embedder
from tasks.clap_model.windows import template
from tasks.contrastive.clips import ClipEmbedder
from tasks.measure_synthetic import mel

DIGITS = 5
"""Embeddings are rounded, so that the last bits of a sum in another order change no result."""

Array = npt.NDArray[np.float64]


@dataclass
class Clip:
    """One clip's features."""

    clip_id: str
    label: str
    caption: str
    path: str
    print_: Array
    """Fingerprint [bands, frames]."""
    levels: Array
    """Log-mel means and standard deviations [2 · bands], dB."""
    embedding: Array | None = None
    """Mean over the windows of CLAP's unit-length audio embeddings [dim]; None where no model was used."""
    learned: Array | None = None
    """Unit-length embedding of a contrastive encoder [dim]; None where none was used."""


class Sounds:
    """Decoded sounds as :func:`mel.low_passed` leaves them, the latest kept; for the comparison of waveforms."""

    def __init__(self, context: Context, most: int = 64) -> None:
        self._context, self._most = context, most
        self._known: dict[str, audio.Samples] = {}

    def __getitem__(self, path: str) -> audio.Samples:
        if path not in self._known:
            if len(self._known) >= self._most:
                self._known.pop(next(iter(self._known)))
            self._known[path] = mel.low_passed(audio.load_mono(self._context.resolve(path), mel.RATE_HZ))
        return self._known[path]


def load(
    rows: Sequence[dict[str, Any]],
    context: Context,
    embedder: Embedder | None = None,
    done: Callable[[], None] = lambda: None,
    encoder: ClipEmbedder | None = None,
) -> list[Clip]:
    """Load clips in the given order.

    Args:
        rows: manifest rows.
        context: of the stage.
        embedder: embeds them; without one the embedding stays None.
        done: called after each clip.
        encoder: a contrastive one, embeds them as well.

    Raises:
        InvalidValueError: a sound file cannot be read.
    """
    clips = []
    for row in rows:
        try:
            samples, rate_hz = audio.read(context.resolve(row["path"]))
        except (soundfile.LibsndfileError, OSError) as error:
            raise InvalidValueError("cannot be read", where=row["path"], allowed="a sound file", received=str(error)) from error
        mono = samples.mean(axis=0)
        levels = mel.log_mel(audio.resample(mono, rate_hz, mel.RATE_HZ))
        clip = Clip(row["clip_id"], row["label"], row["caption"], row["path"], mel.fingerprint(levels), mel.statistics(levels))
        if embedder is not None:
            clip.embedding = embed(mono, rate_hz, embedder)
        if encoder is not None:
            clip.learned = encoder.unit(mono, rate_hz)
        clips.append(clip)
        done()
    return clips


def embed(sound: audio.Samples, sample_rate_hz: int, embedder: Embedder) -> Array:
    """Return the mean embedding [dim] of the windows of a sound [samples]; its product with a text is the filter's cosine."""
    (vectors,) = embedder.embed([embedder.cut(sound, sample_rate_hz)])
    return np.round(vectors.mean(0).cpu().numpy().astype(np.float64), DIGITS)


def text_embeddings(texts: Sequence[str], embedder: Embedder) -> dict[str, Array]:
    """Return {text: unit-length embedding [dim]}; there must be at least one."""
    distinct = sorted(set(texts))
    embedded = embedder.texts(distinct).cpu().numpy().astype(np.float64)
    return dict(zip(distinct, np.round(embedded, DIGITS), strict=True))


def clap_scores(clips: Sequence[Clip], embedder: Embedder) -> tuple[Array, Array]:
    """Return each clip's cosine with its label's text and with its own caption, [clips] each; NaN for an empty caption."""
    texts = text_embeddings([text for clip in clips for text in (template(clip.label), clip.caption) if text], embedder)
    label = np.array([embeddings_of([clip])[0] @ texts[template(clip.label)] for clip in clips])
    caption = np.array([embeddings_of([clip])[0] @ texts[clip.caption] if clip.caption else np.nan for clip in clips])
    return label, caption


def embeddings_of(clips: Sequence[Clip]) -> Array:
    """Return the mean embeddings [clips, dim]."""
    return np.stack([clip.embedding for clip in clips if clip.embedding is not None])


def unit(clips: Sequence[Clip]) -> Array:
    """Return the embeddings at unit length [clips, dim]."""
    stacked = embeddings_of(clips)
    return np.asarray(stacked / np.maximum(1e-9, np.linalg.norm(stacked, axis=1, keepdims=True)))
