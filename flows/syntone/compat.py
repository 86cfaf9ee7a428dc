"""Takes the flags of SynTone's create.py, trainer.py and evaluator.py and says the same in our own keys."""

from __future__ import annotations

from collections.abc import Sequence

FLAGS = {
    "sample_rate": "synthesize_grid.sample_rate_hz", "freq_start": "synthesize_grid.freq_start_hz",
    "freq_end": "synthesize_grid.freq_end_hz", "num_freqs": "synthesize_grid.num_freqs", "amp_start": "synthesize_grid.amp_start",
    "amp_end": "synthesize_grid.amp_end", "num_amps": "synthesize_grid.num_amps", "file_path": "source",
    "batch_size": "train_vae.batch_clips", "epochs": "train_vae.epochs", "latent_dim": "train_vae.latent",
    "num_experiments": "evaluate_disentanglement.legacy_repeats",
}  # fmt: skip
"""Published flags by our keys. ``file_path`` is what trainer.py and evaluator.py read; what create.py writes there,
``synthesize_grid.npz=upstream`` writes. ``model_paths`` and ``model_list`` have no counterpart: a method is chosen by its name
(``methods``), not by its place in a list."""


def translate(words: Sequence[str]) -> list[str]:
    """Return ``key=value`` words in which published flags, with or without dashes before them, are replaced by keys of ours."""
    found = []
    for word in words:
        key, separator, value = word.partition("=")
        bare = key.removeprefix("--")
        found.append(f"{FLAGS[bare]}={value}" if separator and bare in FLAGS else word)
    return found
