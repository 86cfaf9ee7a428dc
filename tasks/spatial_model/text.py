"""Captions to embeddings: RoBERTa behind a tokenizer, its own where roberta-base is loaded, else one made of the captions' words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, RobertaConfig, RobertaModel

from tasks.spatial_model.sizes import Sizes

BEGIN, PAD, END, UNKNOWN = 0, 1, 2, 3
"""Token numbers as roberta-base has them."""
SPECIAL = 4
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
FOLDER = "tokenizer"
"""Where a transformers tokenizer lies beside a model's weights."""


class Tokenizer(Protocol):
    """Turns captions into token numbers and a mask, both [captions, longest]."""

    vocabulary: list[str]
    """Words of a tokenizer of words; empty of another, whose files are kept beside the model."""

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token numbers and which of them count."""
        ...

    def save(self, folder: Path) -> None:
        """Write what the model's own file does not hold."""
        ...


class WordTokenizer:
    """One token for each word of a vocabulary, regardless of case; other words are one token for unknown.

    Args:
        vocabulary: sorted words.
        longest: most tokens, beginning and end included.
    """

    def __init__(self, vocabulary: Sequence[str], longest: int) -> None:
        self.vocabulary, self.longest = list(vocabulary), longest
        self._numbers = {word: SPECIAL + number for number, word in enumerate(self.vocabulary)}

    @classmethod
    def of(cls, captions: Iterable[str], longest: int) -> WordTokenizer:
        """Return the tokenizer of the words of captions."""
        return cls(sorted({word for caption in captions for word in words(caption)}), longest)

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token numbers and which of them count, [captions, longest]."""
        rows = [[self._numbers.get(word, UNKNOWN) for word in words(caption)][: self.longest - 2] for caption in captions]
        length = max((len(row) for row in rows), default=0) + 2
        numbers = torch.full((len(rows), length), PAD)
        for place, row in enumerate(rows):
            numbers[place, : len(row) + 2] = torch.tensor([BEGIN, *row, END])
        return numbers, (numbers != PAD).long()

    def save(self, folder: Path) -> None:
        """Write nothing: the vocabulary is in the model's file."""


class PretrainedTokenizer:
    """A tokenizer of transformers from a local folder.

    Padded to the longest caption rather than to 512 as published: padding is masked, the embeddings are the same.
    """

    def __init__(self, folder: Path, longest: int) -> None:
        self.vocabulary: list[str] = []
        self.longest = longest
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def __call__(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token numbers and which of them count, [captions, longest]."""
        found = self._tokenizer(list(captions), return_tensors="pt", padding=True, truncation=True, max_length=self.longest)
        return found["input_ids"], found["attention_mask"]

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files."""
        self._tokenizer.save_pretrained(folder / FOLDER)


def words(caption: str) -> list[str]:
    """Return the words of a caption in lower case; hyphens and apostrophes inside them stay."""
    return WORD.findall(caption.lower())


class TextEncoder(nn.Module):
    """RoBERTa's pooled output, 768 → 640 → ReLU → 512. The names of the weights are DISSE's.

    With ``word_gain`` the words' embeddings are added to the pooled output.
    """

    def __init__(self, sizes: Sizes, vocabulary: int = 0) -> None:
        super().__init__()
        config = RobertaConfig(**{**sizes.text, **({"vocab_size": vocabulary} if vocabulary else {})})
        config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, BEGIN, END
        self.roberta = RobertaModel(config)
        self.word_gain = sizes.word_gain
        self.proj1 = nn.Linear(config.hidden_size, sizes.text_hidden)
        self.proj2 = nn.Linear(sizes.text_hidden, sizes.shared)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return shared features [captions, 512]."""
        pooled = self.roberta(input_ids=tokens, attention_mask=mask).pooler_output
        if self.word_gain:
            counted = mask[..., None].to(pooled)
            said = self.roberta.embeddings.word_embeddings(tokens) * counted
            pooled = pooled + self.word_gain * said.sum(1) / counted.sum(1).sqrt()
        return self.proj2(torch.relu(self.proj1(pooled)))
