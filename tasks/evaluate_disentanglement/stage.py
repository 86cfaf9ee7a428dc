"""Writes ``scores.json``: corrected and legacy scores with their spread over evaluation repeats, baselines, mutual information, UDR."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core import atomic
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.evaluate_disentanglement import metrics
from tasks.evaluate_disentanglement.metrics import Codes, Factors
from tasks.evaluate_disentanglement.spec import Request, Result, Settings
from tasks.grid.features import Features, open_features

ACTIVE_VARIANCE = 0.01
"""Variance of a code's mean over clips from which it counts as active (Burda, Grosse & Salakhutdinov, 2016)."""
BASELINES = ("baseline_random", "baseline_oracle", "legacy_baseline_random", "legacy_baseline_oracle")
Summary = dict[str, dict[str, Any]]
"""{metric: {"mean", "sd", "repeats"}}; mean and sd are None where the clips do not allow the metric."""


def run(request: Request, context: Context) -> Result:
    """Score one model, or one baseline, and the baselines beside it.

    Raises:
        InvalidValueError: codes and features are of different clips, or fewer than two factors vary.
    """
    settings = request.settings
    features = open_features(context.locate(request.features))
    factors = _factors(features)
    codes = _codes(request, factors, context)
    rows, evaluated, reason = _rows(features, factors, settings)
    context.log(f"scoring {len(rows)} clips ({evaluated}): {reason}")
    chosen = factors.rows(rows)
    information = _information(chosen, codes.rows(rows))
    clips = {
        "rows": len(rows), "split": evaluated, "legacy_rows": len(factors.values),
        "factor_entropy_bits": information["factor_entropy_bits"],
    }  # fmt: skip
    # Read before anything is computed: a folder that does not fit is to be said at once.
    shared = _shared_baselines(context.locate(request.baselines), clips, codes.number, settings) if request.baselines else None
    score = _Scorer(chosen, settings, context, scorings=1 if shared else 3)
    sampled = settings.codes == "sampled"
    found = {
        "corrected": score("", lambda repeat: _drawn(codes, settings, repeat, sampled).rows(rows), redrawn=sampled),
        "legacy": _legacy(factors, lambda repeat: _drawn(codes, settings, repeat, True), settings),
    }
    if shared:
        found |= {name: shared[name] for name in BASELINES}
        score.undefined |= shared["undefined"]
    else:
        found |= _baselines(factors, codes.number, score)
    siblings = [_read(folder, factors, context).rows(rows) for folder in request.siblings]
    ranked = metrics.udr(codes.rows(rows), siblings, settings.udr_form) if siblings else None
    active = int((codes.values.var(axis=0) > ACTIVE_VARIANCE).sum())
    written = found | information | clips | {
        "udr": ranked, "siblings": len(siblings), "active_codes": active, "split_reason": reason, "codes": settings.codes,
        "undefined": score.undefined, "settings": to_dict(settings),
    }  # fmt: skip
    atomic.write_json(context.output / "scores.json", written)
    for name, value in _means(found["corrected"]).items():
        context.metric(name, value)
    return Result(
        rows=len(rows), evaluated=evaluated, scores=_means(found["corrected"]), legacy=_means(found["legacy"]),
        baseline_random=_means(found["baseline_random"]), baseline_oracle=_means(found["baseline_oracle"]), udr=ranked, active_codes=active,
    )  # fmt: skip


def _baselines(factors: Factors, codes: int, score: _Scorer) -> dict[str, Summary]:
    """Score codes that know nothing and codes that are the factors, in both conventions; see :data:`BASELINES`."""
    chosen, settings = score.factors, score.settings
    rows, every = len(chosen.values), len(factors.values)
    return {
        "baseline_random": score("random ", lambda repeat: metrics.random_codes(rows, codes, (settings.seed, repeat))),
        "baseline_oracle": score("oracle ", lambda repeat: metrics.oracle_codes(chosen, codes, (settings.seed, repeat))),
        "legacy_baseline_random": _legacy(factors, lambda repeat: metrics.random_codes(every, codes, (settings.seed, repeat)), settings),
        "legacy_baseline_oracle": _legacy(factors, lambda repeat: metrics.oracle_codes(factors, codes, (settings.seed, repeat)), settings),
    }


def _shared_baselines(folder: Path, clips: dict[str, Any], codes: int, settings: Settings) -> dict[str, Any]:
    """Read what another evaluation found for the baselines.

    Args:
        folder: of that evaluation.
        clips: what ``scores.json`` is to say of the clips.
        codes: number of codes.
        settings: of this evaluation.

    Raises:
        InvalidValueError: there is none, or it is of other clips, another number of codes or other settings.
    """
    path = folder / "scores.json"
    if not path.is_file():
        allowed = "a folder of evaluate_disentanglement with baseline=random"
        raise InvalidValueError("no baselines", where=str(path), allowed=allowed, received="no such file")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    wanted = {**clips, "settings": {**to_dict(settings), "dimensions": codes}}
    received = {name: found.get(name) for name in wanted}
    if received != wanted:
        hint = "evaluate baseline=random on these features, in these settings, with as many dimensions as the model has codes"
        raise InvalidValueError("baselines of another evaluation", where=str(path), allowed=wanted, received=received, hint=hint)
    return found


def _factors(features: Features) -> Factors:
    """Return the factors that vary, in the grid's order.

    Raises:
        InvalidValueError: fewer than two do.
    """
    varied = [factor for factor in features.factors if features.table[factor.name].nunique() > 1]
    if len(varied) < 2:
        names = [factor.name for factor in varied]
        hint = "disentanglement is between factors: give the grid two factors with several values"
        raise InvalidValueError("too few factors vary", where=str(features.folder), allowed="two or more", received=names, hint=hint)
    values = features.table[[factor.name for factor in varied]].to_numpy(dtype=np.float64)
    return Factors(values, tuple(factor.kind for factor in varied), tuple(factor.name for factor in varied))


def _codes(request: Request, factors: Factors, context: Context) -> Codes:
    """Return the codes to score: the model's, or a baseline's, over all clips of the grid."""
    settings = request.settings
    if request.baseline == "random":
        return metrics.random_codes(len(factors.values), settings.dimensions, (settings.seed, 0))
    if request.baseline == "oracle":
        return metrics.oracle_codes(factors, settings.dimensions, (settings.seed, 0))
    return _read(request.codes, factors, context)


def _read(folder: str, factors: Factors, context: Context) -> Codes:
    """Read ``codes.npz`` of a trained model.

    Raises:
        InvalidValueError: there is none, or it is of other clips.
    """
    path = context.locate(folder) / "codes.npz"
    if not path.is_file():
        raise InvalidValueError("no codes", where=str(path), allowed="a folder of train_vae", received="no such file")
    with np.load(path, allow_pickle=False) as stored:
        codes = Codes(stored["mean"], stored["log_variance"])
    if len(codes.values) != len(factors.values):
        hint = "was the model trained on other features?"
        raise InvalidValueError(
            "codes of other clips", where=str(path), allowed=f"{len(factors.values)} rows", received=len(codes.values), hint=hint
        )
    return codes


def _rows(features: Features, factors: Factors, settings: Settings) -> tuple[NDArray[np.int64], str, str]:
    """Return the rows to score, their name, and why these.

    Raises:
        InvalidValueError: a factor never varies in the split that was asked for.
    """
    everything = np.arange(len(factors.values))
    if settings.split != "held_out":
        chosen = everything if settings.split == "all" else features.rows(settings.split)
        if not _vary(factors, chosen):
            where = "evaluate_disentanglement.split"
            raise InvalidValueError("a factor never varies in this split", where=where, received=settings.split, hint="take all")
        return chosen, settings.split, "as asked"
    test = features.rows("test")
    passed_over = []
    for name, rows in (("test", test), ("val+test", np.sort(np.concatenate([features.rows("val"), test])))):
        enough, varied = len(rows) >= settings.least_held_out, _vary(factors, rows)
        if enough and varied:
            return rows, name, "; ".join(["the model was not trained on them", *passed_over])
        passed_over.append(f"{name}: {'a factor never varies' if enough else f'{len(rows)} of at least {settings.least_held_out} clips'}")
    return everything, "all", "too few held-out clips, so training clips are scored too; " + "; ".join(passed_over)


def _vary(factors: Factors, rows: NDArray[np.int64]) -> bool:
    """Whether every factor takes two values or more in these rows."""
    return len(rows) > 1 and bool((np.ptp(factors.values[rows], axis=0) > 0).all())


def _drawn(codes: Codes, settings: Settings, repeat: int, sampled: bool) -> Codes:
    """Return the codes of one repeat: the means, or a sample whose noise hangs on seed, repeat and row."""
    return codes.sampled((settings.seed, repeat, 31)) if sampled else codes


@dataclass
class _Scorer:
    """Computes the wanted metrics for several draws, reporting each; remembers which the clips do not allow, and why."""

    factors: Factors
    settings: Settings
    context: Context
    scorings: int
    """How often it will be called, for the progress."""
    done: int = 0
    undefined: dict[str, str] = field(default_factory=dict)

    def __call__(self, title: str, codes_of: Callable[[int], Codes], redrawn: bool = True) -> Summary:
        """Return the scores of ``codes_of(repeat)``; ``redrawn`` says that the codes differ between repeats."""
        values: dict[str, list[float]] = {name: [] for name in self.settings.metrics}
        groups = metrics.grouped(self.settings.metrics)
        for repeat in range(self.settings.repeats):
            codes = codes_of(repeat)
            # Seeds of neighbouring evaluations must not be each other's: (seed 0, repeat 1) is not (seed 1, repeat 0).
            seed = int(np.random.SeedSequence([self.settings.seed, repeat]).generate_state(1)[0])
            for names in groups:
                if not repeat or redrawn or set(names) & set(metrics.SEEDED):
                    for name, value in self._one(names, codes, seed).items():
                        values[name].append(value)
                self.done += 1
                self.context.progress(self.done, self.scorings * self.settings.repeats * len(groups), f"{title}metrics")
        return _summary(values)

    def _one(self, names: Sequence[str], codes: Codes, seed: int) -> dict[str, float]:
        """Return the metrics of one model, or nothing where the clips do not allow them."""
        try:
            return metrics.evaluate(
                self.factors, codes, names, seed, sap_form=self.settings.sap_form, irs_quantile=self.settings.irs_quantile
            )
        except InvalidValueError as error:
            self.undefined |= {name: str(error) for name in names}
            return {}


def _legacy(factors: Factors, codes_of: Callable[[int], Codes], settings: Settings) -> Summary:
    """Return the published five over all clips, with new codes for each repeat."""
    values: dict[str, list[float]] = {name: [] for name in metrics.legacy.NAMES}
    for repeat in range(settings.legacy_repeats):
        for name, value in metrics.legacy.scores(factors, codes_of(repeat)).items():
            values[name].append(value)
    return _summary(values)


def _summary(values: dict[str, list[float]]) -> Summary:
    """Return mean and standard deviation over repeats; a single repeat has no spread."""
    return {
        name: {
            "mean": float(np.mean(found)) if found else None,
            "sd": (float(np.std(found, ddof=1)) if len(found) > 1 else 0.0) if found else None,
            "repeats": len(found),
        }
        for name, found in values.items()
    }


def _means(summary: Summary) -> dict[str, float]:
    """Return the means that are defined."""
    return {name: entry["mean"] for name, entry in summary.items() if entry["mean"] is not None}


def _information(factors: Factors, codes: Codes) -> dict[str, Any]:
    """Return the mutual information of every factor and every code's mean, and the factors' own entropies, in bits."""
    table = metrics.information(factors, codes)
    bits = [[round(float(value), 6) for value in row] for row in table.mutual]
    names = [f"z{number + 1}" for number in range(codes.number)]
    return {
        "mutual_information": {"factors": list(factors.names), "codes": names, "bits": bits},
        "factor_entropy_bits": {name: round(float(value), 6) for name, value in zip(factors.names, table.factors, strict=True)},
    }
