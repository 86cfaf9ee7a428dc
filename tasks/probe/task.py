"""One set of embeddings and what they are to tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.errors import InvalidValueError
from tasks.probe.spec import Settings
from tasks.probing.folds import Kind, Rows, Targets, labels, numbers
from tasks.probing.scores import metric_of


@dataclass
class Task:
    """Embeddings and what they are to tell."""

    table: pd.DataFrame
    """A row for each clip."""
    array: npt.NDArray[np.float32]
    """Embeddings [clips, d]."""
    told: Targets
    """What the embeddings are to tell."""
    metric: str
    """``accuracy``, ``mAP`` or ``R2``."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels, or what the numbers are called."""
        return self.told.classes

    @property
    def targets(self) -> npt.NDArray[np.float32]:
        """1 where a clip has a label, else 0 [clips, classes]; or numbers."""
        return self.told.values

    @property
    def kind(self) -> Kind:
        """``one`` label a clip, ``several``, or ``numbers``."""
        return self.told.kind


def read(folder: Path, settings: Settings) -> Task:
    """Open embeddings.

    Raises:
        InvalidValueError: no embeddings, fewer than two labels, or clips without a label.
    """
    if not (folder / "embeddings.npy").is_file():
        raise InvalidValueError("no embeddings", where=str(folder), allowed="a folder of embed", received="no embeddings.npy")
    table = pd.read_parquet(folder / "table.parquet")
    array = np.load(folder / "embeddings.npy", allow_pickle=False)
    if settings.target == "label":
        found = labels(table["label"].tolist(), table["clip_id"].tolist(), settings.label_separator, str(folder))
    else:
        found = numbers(table["parameters"].tolist(), settings.target)
    return Task(table, array, found, metric_of(found.kind, settings.metric))


def standardized(array: npt.NDArray[np.float32], rows: Rows) -> npt.NDArray[np.float32]:
    """Return embeddings [clips, d] with mean 0 and deviation 1 over some rows; dimensions that do not vary become 0."""
    mean, deviation = array[rows].mean(0, dtype=np.float64), array[rows].std(0, dtype=np.float64)
    varied = deviation > 1e-7 * max(1e-30, float(np.abs(mean).max()), float(deviation.max()))
    return np.asarray((array - mean) * np.where(varied, 1 / np.where(varied, deviation, 1.0), 0.0), dtype=np.float32)
