"""Answers of a language model on disk, so that a rerun asks nothing. One file per question, below the data root."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from core import atomic

FOLDER = "cache/language_model"
"""Relative to the data root."""


class Cache:
    """Checked answers by question. Only answers that passed their checks are kept: what failed is asked again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def key(model: str, messages: list[dict[str, str]], temperature: float, max_tokens: int, schema: dict[str, Any], seed: int) -> str:
        """Return the SHA-256 of everything that decides an answer; neither the server's address nor a key is part of it."""
        parts = [model, messages, temperature, max_tokens, schema, seed]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    def read(self, key: str) -> str | None:
        """Return the text of an answer, None when there is none or its file is damaged."""
        try:
            entry = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        answer = entry.get("answer") if isinstance(entry, dict) else None
        return answer if isinstance(answer, str) else None

    def write(self, key: str, answer: str, model: str, messages: list[dict[str, str]]) -> None:
        """Keep an answer; the question is kept with it, for people."""
        atomic.write_json(self._path(key), {"answer": answer, "messages": messages, "model": model})

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"
