"""A prompt encoder that needs no weights from a hub: one learnt vector per word, with its position, trained with the model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import torch
from stable_audio_tools.models.conditioners import Conditioner

from core.errors import InvalidValueError

MAX_WORDS = 48
"""Words of the longest prompt; longer ones are refused, never cut."""
UNKNOWN_BUCKETS = 4096
"""Vectors for words that the training captions lack; so many that two labels of a dataset hardly ever share one."""


def words_of(text: str) -> list[str]:
    """Split a prompt into lower-case words, letters of any script and digits."""
    return re.findall(r"\w+", text.lower().replace("_", " "))


def build_vocabulary(texts: Sequence[str]) -> list[str]:
    """Return every word of the training captions, sorted."""
    return sorted({word for text in texts for word in words_of(text)})


class WordConditioner(Conditioner):
    """Prompts → (embeddings [batch, words, dim], mask [batch, words]); unknown words share ``UNKNOWN_BUCKETS`` hashed vectors."""

    def __init__(self, vocabulary: Sequence[str], dim: int) -> None:
        super().__init__(dim, dim)
        self.index = {word: number + 1 + UNKNOWN_BUCKETS for number, word in enumerate(vocabulary)}
        self.embedding = torch.nn.Embedding(len(self.index) + 1 + UNKNOWN_BUCKETS, dim, padding_idx=0)
        self.position = torch.nn.Parameter(torch.randn(MAX_WORDS, dim) * 0.02)
        self.norm = torch.nn.LayerNorm(dim)

    def token(self, word: str) -> int:
        """Return a word's row in the embedding table."""
        bucket = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % UNKNOWN_BUCKETS
        return self.index.get(word, 1 + bucket)

    def tokens(self, texts: Sequence[str]) -> torch.Tensor:
        """Return word numbers [batch, MAX_WORDS], 0 where a prompt has no more words.

        Raises:
            InvalidValueError: a prompt has more words than fit; a prompt is never cut behind one's back.
        """
        rows = torch.zeros(len(texts), MAX_WORDS, dtype=torch.long)
        for row, text in enumerate(texts):
            words = words_of(text)
            if len(words) > MAX_WORDS:
                raise InvalidValueError(f"has {len(words)} words", where="prompt", allowed=f"at most {MAX_WORDS} words", received=text)
            for column, word in enumerate(words):
                rows[row, column] = self.token(word)
        return rows

    def forward(self, texts: Sequence[str], device: torch.device | str | None = None) -> list[torch.Tensor]:
        """Encode prompts."""
        tokens = self.tokens(texts).to(device or self.position.device)
        mask = (tokens > 0).float()
        embedded = self.norm(self.embedding(tokens) + self.position) * mask[..., None]
        return [embedded, mask]
