"""What the training stage costs beside a plain torch loop: one epoch of VAEDeep (VAE, batch 64) on the same features, one thread each.

Plain is what one writes first: convolution, LeakyReLU, pooling, the summed squared error and the KL, ``torch.optim.Adam``, no curves, no
checkpoints, no validation. Ours is the stage's own training, with its curves, its reports, and the look at validation clips that ends an
epoch. Both on 1,280 training clips [1, 128, 32] in memory; seconds of the processor, so that other work on the machine does not count;
the sides alternate and the figure is the median of the ratios.
"""

from __future__ import annotations

from statistics import median

from benchmarks.child import told
from benchmarks.run import Figure

REPEATS, TARGET = 7, 0.95


def measure() -> list[Figure]:
    """Return the one figure: throughput of ours, as a multiple of the plain loop's."""
    found = told("train", "-m", "benchmarks.syntone_training_child", str(REPEATS))
    ratios = [plain / ours for plain, ours in zip(found["plain"], found["ours"], strict=True)]
    rates = [found["clips"] / median(found[side]) for side in ("ours", "plain")]
    method = (
        f"{rates[0]:.0f} clips a second against {rates[1]:.0f}, one thread, processor's seconds, {len(ratios)} epochs each, alternating; "
        f"ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}; ours includes curves and a look at {found['val_clips']} validation clips"
    )
    ratio = median(ratios)
    return [Figure("syntone: one epoch of VAEDeep against a plain loop", round(ratio, 3), "×", f"≥ {TARGET}", ratio >= TARGET, method)]
