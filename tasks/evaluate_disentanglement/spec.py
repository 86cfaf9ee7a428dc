"""Score a model's codes against the factors of a grid: every metric the right way round, the published convention, and two baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.contract import Stage, check_range
from core.errors import InvalidValueError, nearest

STAGE = Stage(name="evaluate_disentanglement", environment="data", version=1, memory_mb=800, time_limit_s=2 * 3600, cpu_threads=1)

METRICS = (
    "mig", "mig_code_entropy", "mig_sup", "jemmig", "dcimig", "modularity", "sap",
    "explicitness", "z_diff", "z_min_var", "z_max_var", "irs",
    "dci_lasso_disentanglement", "dci_lasso_completeness", "dci_lasso_informativeness",
    "dci_forest_disentanglement", "dci_forest_completeness", "dci_forest_informativeness",
)  # fmt: skip
"""Names of the metrics; docs/syntone_metrics.md defines them."""


@dataclass(frozen=True)
class Settings:
    """What is scored, on which clips, how often."""

    codes: Literal["mean", "sampled"] = "mean"
    """``mean``: the means μ of q(z|x), as disentanglement_lib does. ``sampled``: μ + σ ε, drawn anew for each repeat."""
    split: Literal["held_out", "all", "train", "val", "test"] = "held_out"
    """Clips that are scored. ``held_out``: the test clips where there are enough and every factor varies among them, else validation and
    test, else all; ``scores.json`` says which and why. The legacy scores always take all clips, as published."""
    least_held_out: int = 1000
    """Clips that are enough: with fewer the plug-in mutual information of noise is no longer small."""
    repeats: int = 3
    """Evaluations with other draws of folds, forests, pairs and batches; metrics without chance are computed once. Spread over training
    seeds is another matter: one evaluation a trained model."""
    legacy_repeats: int = 10
    """Evaluations in the published convention, each with new noise in the codes."""
    metrics: tuple[str, ...] = METRICS
    """Metrics to compute."""
    sap_form: Literal["by_kind", "regression"] = "by_kind"
    """``by_kind``: nominal factors by classification. ``regression``: all factors as numbers, as published."""
    irs_quantile: float = 1.0
    """Quantile of deviations in IRS: 1.0 (the paper) or 0.99 (disentanglement_lib)."""
    udr_form: Literal["lasso", "spearman"] = "lasso"
    """How UDR relates the codes of two models."""
    dimensions: int = 8
    """Codes of a baseline that is scored by itself; beside a model it gets as many as the model has."""
    seed: int = 0
    """Seed of everything that is drawn."""

    def __post_init__(self) -> None:
        check_range("evaluate_disentanglement.least_held_out", self.least_held_out, 2, 100_000_000)
        check_range("evaluate_disentanglement.repeats", self.repeats, 1, 1000)
        check_range("evaluate_disentanglement.legacy_repeats", self.legacy_repeats, 1, 1000)
        check_range("evaluate_disentanglement.irs_quantile", self.irs_quantile, 0.5, 1.0)
        check_range("evaluate_disentanglement.dimensions", self.dimensions, 1, 10_000)
        check_range("evaluate_disentanglement.seed", self.seed, 0, 2**31 - 1)
        for name in self.metrics:
            if name not in METRICS:
                where = "evaluate_disentanglement.metrics"
                raise InvalidValueError("no such metric", where=where, received=name, hint=nearest(name, METRICS))
        if not self.metrics or len(set(self.metrics)) < len(self.metrics):
            raise InvalidValueError("each metric once", where="evaluate_disentanglement.metrics", allowed=METRICS, received=self.metrics)


@dataclass(frozen=True)
class Request:
    """One trained model, or one baseline."""

    features: str
    """Folder of the features: its table holds factors and splits."""
    codes: str = ""
    """Folder of ``train_vae`` with ``codes.npz``; empty with ``baseline`` alone."""
    baseline: Literal["none", "random", "oracle"] = "none"
    """Score this instead of a model: N(0, 1) codes, or the factors themselves and noise."""
    baselines: str = ""
    """Folder of this stage with ``baseline``: as many codes and the same settings on the same clips, so that what it says of both
    baselines is what would be computed here anew. Empty: that is done."""
    siblings: tuple[str, ...] = ()
    """Folders of the same method trained with other seeds, for UDR."""
    settings: Settings = Settings()
    """What is scored, on which clips, how often."""

    def __post_init__(self) -> None:
        if bool(self.codes) == (self.baseline != "none"):
            raise InvalidValueError(
                "one of codes and baseline is scored", where="evaluate_disentanglement.codes",
                allowed="a folder with baseline=none, or no folder with baseline=random or oracle", received=(self.codes, self.baseline),
            )  # fmt: skip
        if self.baselines and not self.codes:
            where = "evaluate_disentanglement.baselines"
            raise InvalidValueError("a baseline has none beside it", where=where, allowed="none", received=self.baselines)
        if self.siblings and (not self.codes or self.codes in self.siblings):
            raise InvalidValueError(
                "siblings are other models of a model", where="evaluate_disentanglement.siblings", allowed="folders other than codes",
                received=self.siblings,
            )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Means over the evaluation repeats; ``scores.json`` has the spread, the mutual information and the baselines' legacy scores too."""

    rows: int
    """Clips scored."""
    evaluated: str
    """Which clips: ``test``, ``val+test``, ``all``, ``train`` or ``val``."""
    scores: dict[str, float]
    """The metrics, factors and codes in their places; one that these clips do not allow is missing."""
    legacy: dict[str, float]
    """The published five with factors and codes swapped, sampled codes, all clips. For comparison with published figures only."""
    baseline_random: dict[str, float]
    """The metrics for codes that know nothing."""
    baseline_oracle: dict[str, float]
    """The metrics for codes that are the factors, and noise."""
    udr: float | None
    """Unsupervised disentanglement ranking against the siblings; None without any."""
    active_codes: int
    """Codes whose mean varies by more than 0.01 over all clips (Burda et al., 2016)."""
