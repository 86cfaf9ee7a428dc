"""Audio models by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from core.errors import InvalidValueError, nearest
from tasks.audio_models.audio_mae import RATES_HZ, open_audio_mae
from tasks.audio_models.doppelgangers import open_doppelgangers
from tasks.audio_models.efficient_at import WIDTHS, open_efficient_at
from tasks.audio_models.interface import AudioModel, Reduction, frozen
from tasks.audio_models.mel_models import LogMel, MelStatistics
from tasks.audio_models.openl3 import POOLS, open_openl3
from tasks.audio_models.passt import SIZES, open_passt

WITHOUT_WEIGHTS = ("mel", "mel128")
PUBLISHED: dict[str, Callable[[str, Path, str | torch.device, Reduction], AudioModel]] = {
    **dict.fromkeys([*WIDTHS, *(f"{name}_mel" for name in WIDTHS)], open_efficient_at),
    **dict.fromkeys(SIZES, open_passt),
    **dict.fromkeys(POOLS, open_openl3),
    **dict.fromkeys(RATES_HZ, open_audio_mae),
}
"""Others' models, and who opens them."""
WITH_WEIGHTS = ("doppelgangers", *PUBLISHED)
"""Take a path behind a colon."""


def open_audio_model(name_or_path: str, device: str | torch.device = "cpu", reduction: Reduction = "avg") -> AudioModel:
    """Open an audio model, frozen.

    Args:
        name_or_path: ``mel`` (mean and deviation of log-mel bands) or ``mel128`` (their mean), or a name of :data:`WITH_WEIGHTS`, a colon
            and the path of its weights: ``doppelgangers:<folder of train_contrastive>``, ``mn04:<file>``, ``passt_s:<file>``.
        device: to listen on.
        reduction: over time; ``mel`` has its own.

    Raises:
        InvalidValueError: no such model, no weights, or a reduction it does not have.
    """
    name, _, path = name_or_path.partition(":")
    where = "audio_model"
    if name in WITHOUT_WEIGHTS and path:
        raise InvalidValueError("has no weights", where=where, allowed=name, received=name_or_path)
    if name == "mel":
        if reduction != "avg":
            hint = "mel128 is reduced as you like"
            raise InvalidValueError("is mean and deviation", where=f"{where}.reduction", allowed="avg", received=reduction, hint=hint)
        return frozen(MelStatistics(), device)
    if name == "mel128":
        return frozen(LogMel(reduction=reduction), device)
    if name not in WITH_WEIGHTS:
        known = (*WITHOUT_WEIGHTS, *WITH_WEIGHTS)
        raise InvalidValueError("no such audio model", where=where, received=name_or_path, hint=nearest(name, known))
    if not path:
        raise InvalidValueError("which weights?", where=where, allowed=f"{name}:<path>", received=name_or_path)
    if name == "doppelgangers":
        return frozen(open_doppelgangers(Path(path), device, reduction), device)
    return PUBLISHED[name](name, Path(path), device, reduction)
