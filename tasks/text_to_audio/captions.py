"""What a clip is called while a model trains on it."""

from __future__ import annotations

import json
from typing import Any


def captions_of(row: Any) -> list[str]:
    """Return every caption of a manifest row (with ``parameters``, ``label`` and ``caption``), whole.

    The written ones and "Sound of a {label}", or the row's only caption where nothing more was written.
    """
    written = json.loads(row.parameters).get("captions", [])
    label = str(row.label).replace("_", " ")
    return [*written, f"Sound of a {label}"] if written else [str(row.caption)]
