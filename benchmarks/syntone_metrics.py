"""How long every disentanglement metric takes on the whole SynTone grid: 32,000 clips, eight codes, one thread of ``envs/data``.

Three kinds of codes, since trees grow deeper on noise and Lasso settles later on mixtures: the factors and noise (ideal), rotations of
factors and noise (entangled, as a trained model's), noise alone. UDR against two siblings is timed too. The slowest kind is the figure.
"""

from __future__ import annotations

from benchmarks.child import told
from benchmarks.run import Figure

LIMIT_S = 60


def measure() -> list[Figure]:
    """Return the figures, all measured in this one run."""
    found = told("data", "-c", PROGRAM)
    figures = []
    totals = {kind: sum(seconds.values()) for kind, seconds in found.items()}
    slowest = max(totals, key=lambda kind: totals[kind])
    for kind, seconds in found.items():
        longest = sorted(seconds, key=lambda name: -seconds[name])[:4]
        method = f"{kind} codes; longest: {', '.join(f'{name} {seconds[name]:.1f} s' for name in longest)}"
        figures.append(
            Figure(
                f"syntone: all metrics on 32,000 × 8, {kind} codes",
                round(totals[kind], 1),
                "s",
                f"< {LIMIT_S}",
                totals[kind] < LIMIT_S,
                method,
            )
        )
    counted = sum(found[slowest][name] for name in ("mig", "mig_code_entropy", "mig_sup", "jemmig", "dcimig", "modularity"))
    method = f"{slowest} codes; the table is counted anew for each of the six"
    return [*figures, Figure("syntone: the six metrics on mutual information", round(counted, 2), "s", "< 1", counted < 1, method)]


PROGRAM = """
import json, time
import numpy as np
from tasks.evaluate_disentanglement import metrics
frequency, amplitude, waveform = np.meshgrid(np.linspace(440, 8000, 400), np.linspace(0.1, 1, 20), range(4), indexing="ij")
values = np.stack([waveform.ravel(), frequency.ravel(), amplitude.ravel()], 1)
factors = metrics.Factors(values, ("nominal", "continuous", "continuous"), ("waveform", "frequency", "amplitude"))
ideal = metrics.oracle_codes(factors, 8, (0,))
turns = [np.linalg.qr(np.random.default_rng(seed).standard_normal((8, 8)))[0] for seed in range(3)]
entangled = [metrics.Codes(ideal.values @ turn) for turn in turns]
kinds = {"ideal": ideal, "entangled": entangled[0], "random": metrics.random_codes(len(values), 8, (0,))}
names = [group[0].removesuffix("_disentanglement") for group in metrics.grouped(metrics.ALL)]
metrics.evaluate(factors.rows(slice(0, 32000, 50)), ideal.rows(slice(0, 32000, 50)), names)  # imports and first calls
seconds = {}
for kind, codes in kinds.items():
    seconds[kind] = {}
    for name in (*names, "udr"):
        started = time.perf_counter()
        metrics.udr(codes, entangled[1:]) if name == "udr" else metrics.evaluate(factors, codes, (name,))
        seconds[kind][name] = time.perf_counter() - started
print(json.dumps(seconds))
"""
