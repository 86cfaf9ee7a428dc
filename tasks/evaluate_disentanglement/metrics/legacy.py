"""The published SynTone evaluation, reproduced: factors and codes in each other's place.

Its evaluator passes (latents, labels) to functions that take (factors, codes). "MIG" then averages, over latents, the gap between the two
labels a latent knows most of, divided by the label's entropy: an ideal model with five spare dimensions of eight gets 0.375. Class indexes
are binned like numbers, codes are sampled, and all clips are scored, training ones too. For comparison with published figures only.
"""

from __future__ import annotations

from tasks.evaluate_disentanglement.metrics import information
from tasks.evaluate_disentanglement.metrics.representation import BINS, Codes, Factors, binned, check, gap
from tasks.evaluate_disentanglement.metrics.separability import r_squared

NAMES = ("mig", "jemmig", "dcimig", "modularity", "sap")
"""The five that were published."""


def scores(factors: Factors, codes: Codes) -> dict[str, float]:
    """Return the five figures as the published evaluator would, for codes that are sampled already.

    Args:
        factors: the true factors, first as everywhere: the swap happens inside.
        codes: sampled codes, see :meth:`Codes.sampled`.
    """
    check(factors, codes, least_factors=2)
    table = information.of_labels(binned(factors.values), binned(codes.values), BINS).swapped()
    return {
        "mig": information.mig_code_entropy_of(table),  # pyitlib's norm_factor "Y" is its second argument: here the label
        "jemmig": information.jemmig_of(table),
        "dcimig": information.dcimig_of(table),
        "modularity": information.modularity_of(table),
        "sap": float(gap(r_squared(codes.values, factors.values)).mean()),
    }
