"""Weights that others have published: opened by path, tensors only, and loaded whole or not at all."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import InvalidValueError


def read(name: str, path: Path, published: str, harmless: Sequence[type] = ()) -> Any:
    """Return what a file of ``torch.save`` holds.

    Args:
        name: of the audio model.
        path: of the file.
        published: which file is wanted, and where its authors have it; said in errors.
        harmless: classes without tensors that the file also holds, and that do nothing when they are read.

    Raises:
        InvalidValueError: no file, or one that holds more than tensors and ``harmless``.
    """
    where = f"audio_model {name}"
    if not path.is_file():
        raise InvalidValueError("no weights", where=where, allowed="a file", received=str(path), hint=published)
    try:
        with torch.serialization.safe_globals(list(harmless)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        received = f"{path.name}: {error}"[:300]
        raise InvalidValueError("not a file of weights", where=where, allowed="tensors", received=received, hint=published) from error


def load_strictly(network: nn.Module, state: Any, path: Path, expected: str) -> None:
    """Give a network its weights; every one of the file must fit, and every one of the network must be there.

    Args:
        network: to be given them.
        state: tensors by name.
        path: of their file; named in errors.
        expected: whose weights these should be; likewise.

    Raises:
        InvalidValueError: some are missing, too many, or of another shape.
    """
    try:
        network.load_state_dict(state, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InvalidValueError("weights of another network", where=path.name, allowed=expected, received=str(error)[:300]) from error
