"""The waveform classifier beside the autoencoders: can the timbres be told apart at all?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.gallery import pictures
from core.gallery.page import trusted


def read(folder: Path) -> dict[str, Any]:
    """Return what the page shows of a folder of ``classify_waveform``."""
    found = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    test, classes = found["test"], [str(name) for name in found["classes"]]
    return {
        "test": f"{100 * test['accuracy']:.1f} %", "val": f"{100 * found['val']['accuracy']:.1f} %", "clips": test["clips"],
        "chance": f"{100 / len(classes):.1f} %", "seed": found["seed"], "step": found["best_step"],
        "by_waveform": [(name, f"{100 * test['by_waveform'][name]:.1f} %") for name in classes if name in test["by_waveform"]],
        "confusion": trusted(pictures.confusion(np.array(test["confusion"], dtype=np.int64), classes)),
    }  # fmt: skip
