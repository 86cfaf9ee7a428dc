"""What labels sound like to a contrastive encoder: the mean embedding of their gold clips (Snell et al., 2017)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.clap_model.rules import DIGITS
from tasks.contrastive.clips import ClipEmbedder


class Prototypes:
    """The labels' gold clips, embedded once.

    Args:
        encoder: folder of ``train_contrastive``.
        gold: folder of the gold clips; train clips only.
        context: of the stage.

    Raises:
        InvalidValueError: clips that are not train clips, or none that can be read.
    """

    def __init__(self, encoder: Path, gold: str, context: Context) -> None:
        table = manifest.accepted(manifest.read(context.resolve(gold)))
        manifest.require_train(table, "clap_filter.gold")
        self.embedder = ClipEmbedder(encoder, context.device)
        found, _ = self.embedder.sounds({row.clip_id: context.resolve(row.path) for row in table.itertuples()})
        if not found:
            raise InvalidValueError("no gold clips", where=gold, allowed="at least one usable clip", received=0)
        labels = dict(zip(table["clip_id"], table["label"], strict=True))
        self.labels = sorted({labels[clip] for clip in found})
        means = [np.mean([vector for clip, vector in found.items() if labels[clip] == label], axis=0) for label in self.labels]
        self.vectors = np.stack([mean / max(1e-9, float(np.linalg.norm(mean))) for mean in means])

    def scores(self, vector: npt.NDArray[np.float64], label: str) -> dict[str, float]:
        """Return cosine and rank of a clip's own label; a label without gold clips has cosine −1 and comes last."""
        cosines = np.round(self.vectors @ vector, DIGITS)
        if label not in self.labels:
            return {"encoder_cosine": -1.0, "encoder_rank": float(len(self.labels) + 1)}
        own = float(cosines[self.labels.index(label)])
        return {"encoder_cosine": own, "encoder_rank": float(1 + int((cosines > own).sum()))}
