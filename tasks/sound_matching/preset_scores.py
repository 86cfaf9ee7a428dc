"""How near estimated presets are to the right ones, by kind of parameter."""

from __future__ import annotations

import numpy as np

from tasks.presets.layout import Layout
from tasks.presets.parameters import Values

MAE, SWITCHES, CATEGORIES = "mae", "switch_accuracy", "category_accuracy"


def preset_scores(found: Values, wanted: Values, layout: Layout) -> dict[str, Values]:
    """Return for each preset [B] the mean absolute error of numbers, and the shares of right switches and categories.

    Kinds that the synthesiser does not have are left out. Publicly available code takes the sigmoid of values that are already between 0
    and 1 for the error; here it is that of the values themselves.

    Args:
        found: presets [B, used].
        wanted: the right ones.
        layout: of the presets.
    """
    found, wanted = np.asarray(found, np.float32), np.asarray(wanted, np.float32)
    told: dict[str, Values] = {}
    if layout.numeric:
        told[MAE] = np.abs(found - wanted)[:, layout.numeric].mean(1)
    for name, places in ((SWITCHES, layout.binary), (CATEGORIES, layout.categorical)):
        if places:
            told[name] = (np.rint(found) == np.rint(wanted))[:, places].mean(1, dtype=np.float32)
    return told
