"""All retrieval tasks and invariances of one set of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.evaluate_spatial.metrics import Array, Labels, iidr, retrieval
from tasks.spatial_model.embedding import EMBEDDINGS

TASKS = {"SRC": ("source", "source"), "SPA": ("spatial", "spatial"), "X-SRC": ("spatial", "source"), "X-SPA": ("source", "spatial")}
"""Task → (embedding, what counts as found). X: what the other factor's embedding gives away, lower is better."""


def cross_modal(embeddings: dict[str, Array], labels: dict[str, Labels], ties: str) -> dict[str, Any]:
    """Return every task in both directions.

    Args:
        embeddings: ``audio_source``, ``audio_spatial``, ``text_source``, ``text_spatial`` [items, d], of length 1.
        labels: ``source`` and ``spatial`` [items].
        ties: see :func:`retrieval`.
    """
    pairs = {name: (embeddings[f"text_{which}"], embeddings[f"audio_{which}"], labels[by]) for name, (which, by) in TASKS.items()}
    joined = [np.concatenate([embeddings[f"{side}_source"], embeddings[f"{side}_spatial"]], 1) for side in ("text", "audio")]
    pairs["Both"] = (joined[0], joined[1], joint(labels))
    return {
        name: {
            "text_to_audio": retrieval(text, audio, own, own, ties=ties), "audio_to_text": retrieval(audio, text, own, own, ties=ties)
        } for name, (text, audio, own) in pairs.items()
    }  # fmt: skip


def intra_modal(embeddings: dict[str, Array], labels: dict[str, Labels], ties: str) -> dict[str, Any]:
    """Return the same within sounds and within captions, where no item may find itself."""
    return {
        side: {
            name: retrieval(embeddings[f"{side}_{which}"], embeddings[f"{side}_{which}"], labels[by], labels[by], True, ties)
            for name, (which, by) in TASKS.items()
        }
        for side in ("audio", "text")
    }


def invariance(embeddings: dict[str, Array], labels: dict[str, Labels]) -> dict[str, Any]:
    """Return IIDR of each embedding."""
    return {name: iidr(embeddings[name], labels["source"], labels["spatial"]) for name in EMBEDDINGS}


def joint(labels: dict[str, Labels]) -> Labels:
    """Return a number per pair of source and space."""
    both = np.stack([np.unique(labels[name], return_inverse=True)[1].reshape(-1) for name in ("source", "spatial")])
    return np.asarray(np.unique(both, axis=1, return_inverse=True)[1]).reshape(-1)
