"""How trained weights are kept: ``state`` and ``config`` in one file, tensors and plain values only."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import atomic


def save_weights(path: Path, state: Mapping[str, Tensor], config: dict[str, Any]) -> None:
    """Write weights, and plain values that belong to them, atomically; the same weights give the same bytes."""
    kept = {name: part.detach().cpu().contiguous().clone() for name, part in state.items()}
    buffer = io.BytesIO()  # saved to a path, the archive would hold the temporary file's random name
    torch.save({"state": kept, "config": config}, buffer)
    atomic.write_bytes(path, buffer.getvalue())
