"""The normalisations, and the numbers that undo them: value · scale + offset is mel power, or for ``log_db`` dB re the reference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tasks.featurise.spec import Settings

LEGACY_FLAG = "legacy_frame_max erases amplitude: a clip and a softer copy of it have the same features"


def normalised(power: Tensor, settings: Settings, reference: float) -> tuple[Tensor, int]:
    """Return values of one block [clips, mels, frames], and how many were cut to 1.

    ``global_max`` is left as it is: its divisor is known only when all blocks are.
    """
    if settings.normalisation == "log_db":
        db = 10 * torch.log10(power.double().clamp_min(1e-300) / reference)
        values = 1 - db / settings.floor_db
        return values.clamp(0, 1).float(), int((values > 1).sum())
    if settings.normalisation == "legacy_frame_max":
        top = power.amax(dim=1, keepdim=True)  # librosa.util.normalize: max-abs along axis 0; frames without sound stay as they are
        return power / torch.where(top > torch.finfo(torch.float32).tiny, top, torch.ones_like(top)), 0
    return power, 0


def numbers(settings: Settings, reference: float, train_max: float) -> dict[str, Any]:
    """Return ``offset``, ``scale`` and ``reference_power`` for ``features.json``."""
    if settings.normalisation == "log_db":
        return {"offset": settings.floor_db, "scale": -settings.floor_db, "reference_power": reference}
    return {"offset": 0.0, "scale": train_max if settings.normalisation == "global_max" else 1.0, "reference_power": 1.0}
