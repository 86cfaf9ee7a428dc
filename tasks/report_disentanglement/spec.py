"""Make the page to look and listen at, and the score tables, of autoencoders trained by several methods and seeds on one grid."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.contract import Stage, check_range, runtime_setting
from core.errors import InvalidValueError

STAGE = Stage(name="report_disentanglement", environment="data", version=1, memory_mb=1000, time_limit_s=3600)

METRICS = {
    "mig": "MIG", "mig_code_entropy": "MIG over H(z)", "mig_sup": "MIG-sup", "jemmig": "JEMMIG", "dcimig": "DCIMIG",
    "modularity": "Modularity", "sap": "SAP", "dci_lasso_disentanglement": "DCI disentanglement, lasso",
    "dci_lasso_completeness": "DCI completeness, lasso", "dci_lasso_informativeness": "DCI informativeness, lasso",
    "dci_forest_disentanglement": "DCI disentanglement, forest", "dci_forest_completeness": "DCI completeness, forest",
    "dci_forest_informativeness": "DCI informativeness, forest", "explicitness": "Explicitness", "z_diff": "Z-diff",
    "z_min_var": "Z-min-var", "z_max_var": "Z-max-var", "irs": "IRS", "udr": "UDR",
}  # fmt: skip
"""What evaluate_disentanglement scores, as it is called in tables; in all of them more is better."""
LEGACY = ("mig", "jemmig", "dcimig", "modularity", "sap")
"""What the published convention scores."""


@dataclass(frozen=True)
class Settings:
    """What the page shows."""

    ranked_by: str = "mig"
    """Metric that orders the methods; one of the published five, so that both rankings have it."""
    seeds_shown: int = 1
    """Trainings of each method that are shown with pictures and sounds, of those that have any."""
    max_samples: int = 6
    """Samples from the prior shown of each training."""
    unused_below_nats: float = 0.05
    """Codes whose KL divergence from the prior is less are folded away as unused."""

    def __post_init__(self) -> None:
        if self.ranked_by not in LEGACY:
            raise InvalidValueError(
                "not scored by both conventions",
                where="report_disentanglement.ranked_by",
                allowed=", ".join(LEGACY),
                received=self.ranked_by,
            )
        check_range("report_disentanglement.seeds_shown", self.seeds_shown, 0, 100)
        check_range("report_disentanglement.max_samples", self.max_samples, 0, 1000)
        check_range("report_disentanglement.unused_below_nats", self.unused_below_nats, 0.0, 100.0)


@dataclass(frozen=True)
class Run:
    """One training and what came of it."""

    method: str
    """Name of the method, as train_vae has it."""
    seed: int
    """Training seed."""
    model: str
    """Folder of ``train_vae``."""
    scores: str
    """Folder of ``evaluate_disentanglement``."""
    pictures: str = ""
    """Folder of ``plot_latents``; empty where a training is scored but not shown."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]{1,40}", self.method):
            where = "report_disentanglement.runs.method"
            raise InvalidValueError("no name of a method", where=where, allowed="a–z, 0–9 and _", received=self.method)


@dataclass(frozen=True)
class Request:
    """One study."""

    title: str
    """Title of the page."""
    features: str
    """Folder of ``featurise``."""
    runs: tuple[Run, ...]
    """All trainings; methods are listed in order of appearance."""
    config: str
    """The resolved configuration, YAML."""
    classifier: str = ""
    """Folder of ``classify_waveform``; empty where the baseline was not run."""
    command: str = runtime_setting(default="./run.sh")
    """What to type to get the same results; two commands that mean the same configuration share one page."""
    settings: Settings = Settings()
    """What the page shows."""

    def __post_init__(self) -> None:
        where = "report_disentanglement.runs"
        if not self.runs:
            raise InvalidValueError("nothing to report", where=where, allowed="at least one training", received=self.runs)
        named = [(run.method, run.seed) for run in self.runs]
        twice = sorted({pair for pair in named if named.count(pair) > 1})
        if twice:
            raise InvalidValueError("a training is named twice", where=where, allowed="each method and seed once", received=twice)


@dataclass(frozen=True)
class Result:
    """The scores."""

    ranking: tuple[str, ...]
    """Methods, the best first, by the corrected metric's mean over the training seeds."""
    legacy_ranking: tuple[str, ...]
    """The same by the published convention."""
    scores: dict[str, float]
    """Mean of the ranking metric, corrected, by method."""
    collapsed: tuple[str, ...]
    """Trainings whose codes carry nothing, as ``method seed``."""
    headline: str
    """The finding, and how sure it is."""
    table: str
    """The score table as text for a terminal."""
