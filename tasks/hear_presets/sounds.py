"""The kept sounds of a preset set, all of them or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import InvalidValueError
from tasks.presets.reading import AUDIO, PresetSet, mapped, open_presets

WHERE = "hear_presets.presets"
HINT = "render the set with render_presets.audio_clips=-1, which keeps every sound"


def open_sounding(folder: Path) -> tuple[PresetSet, npt.NDArray[np.floating]]:
    """Open a preset set, and its sounds [N, T], memory-mapped.

    Raises:
        InvalidValueError: there is no set, sounds are missing, or their file cannot be read.
    """
    try:
        audio = mapped(folder / AUDIO)
    except (ValueError, OSError, EOFError) as error:
        received = f"{folder / AUDIO}: {error}"[:300]
        raise InvalidValueError("the sounds cannot be read", where=WHERE, allowed="an array", received=received, hint=HINT) from error
    presets = open_presets(folder)
    if audio is None or len(audio) < len(presets):
        received = f"{0 if audio is None else len(audio)} sounds"
        allowed = f"the sounds of all {len(presets)} presets"
        raise InvalidValueError("sounds are missing", where=WHERE, allowed=allowed, received=received, hint=HINT)
    if len(audio) > len(presets) or audio.ndim != 2 or not audio.shape[1] or audio.dtype.kind != "f":
        allowed = f"numbers with a point [{len(presets)}, samples]"
        received = f"{audio.dtype} {list(audio.shape)}"
        raise InvalidValueError("these are no sounds of the set", where=WHERE, allowed=allowed, received=received, hint=HINT)
    return presets, audio


def read(audio: npt.NDArray[np.floating], rows: range) -> npt.NDArray[np.float32]:
    """Return some rows' sounds [rows, T], full scale ±1.

    Raises:
        InvalidValueError: one that is not made of finite numbers.
    """
    sounds = np.array(audio[rows.start : rows.stop], np.float32)
    broken = np.flatnonzero(~np.isfinite(sounds).all(1))
    if len(broken):
        received = f"rows {[rows.start + int(row) for row in broken[:5]]}"
        raise InvalidValueError("sounds cannot be read", where=WHERE, allowed="finite numbers", received=received, hint=HINT)
    return sounds
