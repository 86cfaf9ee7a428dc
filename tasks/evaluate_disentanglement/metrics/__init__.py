"""Disentanglement metrics on any factors and codes: ``metrics.evaluate(metrics.Factors(v, kinds, names), metrics.Codes(z))``.

The set is that of Zaidi, Boilard, Gagnon & Carbonneau, "Measuring Disentanglement: A Review of Metrics" (arXiv 2012.09276), whose code
(Copyright 2018 Ubisoft La Forge Authors) is under the Apache License 2.0. Definitions were taken from there and from the papers that each
function names; the code is our own. ``docs/syntone_metrics.md`` says where the two differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from core.errors import InvalidValueError, nearest
from tasks.evaluate_disentanglement.metrics import legacy
from tasks.evaluate_disentanglement.metrics.baselines import oracle_codes, random_codes
from tasks.evaluate_disentanglement.metrics.dci import Dci, dci_forest, dci_lasso
from tasks.evaluate_disentanglement.metrics.explicitness import explicitness
from tasks.evaluate_disentanglement.metrics.information import dcimig, information, jemmig, mig, mig_code_entropy, mig_sup, modularity
from tasks.evaluate_disentanglement.metrics.interventions import irs, z_diff, z_max_var, z_min_var
from tasks.evaluate_disentanglement.metrics.representation import Codes, Factors, check
from tasks.evaluate_disentanglement.metrics.separability import sap
from tasks.evaluate_disentanglement.metrics.udr import udr

PARTS = ("disentanglement", "completeness", "informativeness")


@dataclass(frozen=True)
class _Choices:
    """What :func:`evaluate` hands to the metrics that have a choice."""

    seed: int
    sap_form: Literal["by_kind", "regression"]
    irs_quantile: float


_SINGLE: dict[str, Callable[[Factors, Codes, _Choices], float]] = {
    "mig": lambda factors, codes, choices: mig(factors, codes),
    "mig_code_entropy": lambda factors, codes, choices: mig_code_entropy(factors, codes),
    "mig_sup": lambda factors, codes, choices: mig_sup(factors, codes),
    "jemmig": lambda factors, codes, choices: jemmig(factors, codes),
    "dcimig": lambda factors, codes, choices: dcimig(factors, codes),
    "modularity": lambda factors, codes, choices: modularity(factors, codes),
    "sap": lambda factors, codes, choices: sap(factors, codes, choices.sap_form, choices.seed),
    "explicitness": lambda factors, codes, choices: explicitness(factors, codes),
    "z_diff": lambda factors, codes, choices: z_diff(factors, codes, choices.seed),
    "z_min_var": lambda factors, codes, choices: z_min_var(factors, codes, choices.seed),
    "z_max_var": lambda factors, codes, choices: z_max_var(factors, codes, choices.seed),
    "irs": lambda factors, codes, choices: irs(factors, codes, choices.irs_quantile),
}
_TRIPLE: dict[str, Callable[[Factors, Codes, int], Dci]] = {"dci_lasso": dci_lasso, "dci_forest": dci_forest}
ALL = (*_SINGLE, *(f"{model}_{part}" for model in _TRIPLE for part in PARTS))
"""Every metric that compares codes with factors; :func:`udr` compares codes with codes."""
SEEDED = ("sap", "z_diff", "z_min_var", "z_max_var", *(f"{model}_{part}" for model in _TRIPLE for part in PARTS))
"""Those in which chance takes part: folds, forests, drawn pairs and batches."""


def evaluate(
    factors: Factors,
    codes: Codes,
    names: Iterable[str] = ALL,
    seed: int = 0,
    sap_form: Literal["by_kind", "regression"] = "by_kind",
    irs_quantile: float = 1.0,
) -> dict[str, float]:
    """Return the named metrics.

    Args:
        factors: [N, K] true factors.
        codes: [N, D] codes of the same clips.
        names: of :data:`ALL`; also ``dci_lasso`` and ``dci_forest`` for all three parts.
        seed: of everything that is drawn, 0 … 2³² − 1.
        sap_form: see :func:`sap`.
        irs_quantile: see :func:`irs`.

    Raises:
        InvalidValueError: swapped or plain arguments, an unknown name, or a metric that these clips do not allow.
    """
    check(factors, codes)
    choices, found = _Choices(seed, sap_form, irs_quantile), {}
    for group in grouped(names):
        model = _model_of(group[0])
        if model:
            scores = _TRIPLE[model](factors, codes, seed)
            found |= {name: float(getattr(scores, name.removeprefix(f"{model}_"))) for name in group}
        else:
            found[group[0]] = _SINGLE[group[0]](factors, codes, choices)
    return found


def grouped(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the names so that those that come from one fitted model stand together; ``dci_lasso`` alone means its three parts.

    Raises:
        InvalidValueError: an unknown name.
    """
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        wanted = [f"{name}_{part}" for part in PARTS] if name in _TRIPLE else [name]
        for one in wanted:
            if one not in ALL:
                raise InvalidValueError("no such metric", where="metrics", received=name, hint=nearest(name, (*ALL, *_TRIPLE)))
            groups.setdefault(_model_of(one) or one, {})[one] = None
    return [tuple(group) for group in groups.values()]


def _model_of(name: str) -> str:
    """Return the model whose part a metric is; empty for a metric by itself."""
    return next((model for model in _TRIPLE if name.startswith(f"{model}_")), "")


__all__ = [
    "ALL", "SEEDED", "Codes", "Dci", "Factors", "dci_forest", "dci_lasso", "dcimig", "evaluate", "explicitness", "grouped", "information",
    "irs", "jemmig", "legacy", "mig", "mig_code_entropy", "mig_sup", "modularity", "oracle_codes", "random_codes", "sap", "udr", "z_diff",
    "z_max_var", "z_min_var",
]  # fmt: skip
