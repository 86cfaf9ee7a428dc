"""What a trial may try, and what its numbers mean for the arm."""

from __future__ import annotations

from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution

from tasks.ast_classifier.mixture import Mixture
from tasks.search_mixture.spec import Request
from tasks.searching.sampling import Space

LEAST_WEIGHT = 0.125


def space(request: Request) -> Space:
    """Return the ranges by name."""
    settings, found = request.settings, {}
    for name in request.tried:
        if name == "ratio" and settings.ratio:
            found[name] = FloatDistribution(*settings.ratio, log=True)
        elif name == "threshold" and settings.threshold:
            low, high = settings.threshold
            found[name] = IntDistribution(round(low), round(high)) if settings.score == "rank" else FloatDistribution(low, high)
        else:
            found[name] = FloatDistribution(LEAST_WEIGHT, 1.0, log=True)
    return found


def default(request: Request) -> dict[str, Any]:
    """Return numbers near what the arm does without a search, within the ranges; only what is proposed next looks at them."""
    share = max(1e-6, request.classifier["gold_fraction"])
    settings, near = request.settings, {}
    for name in request.tried:
        if name == "ratio" and settings.ratio:
            near[name] = min(max((1 - share) / share, settings.ratio[0]), settings.ratio[1])
        elif name == "threshold" and settings.threshold:
            middle = sum(settings.threshold) / 2
            near[name] = round(middle) if settings.score == "rank" else middle
        else:
            near[name] = 1.0
    return near


def mixture(tried: dict[str, Any], request: Request) -> Mixture:
    """Return the mixture that a trial's numbers ask for; what is not tried is as without a search."""
    fraction = 1 / (1 + tried["ratio"]) if "ratio" in tried else request.classifier["gold_fraction"]
    if any(name.startswith("weight of ") for name in tried):
        weights = {source.name: tried[f"weight of {source.name}"] for source in request.sources}
    else:
        weights = {source.name: source.weight for source in request.sources if source.weight is not None}
    score = request.settings.score if "threshold" in tried else ""
    return Mixture(fraction, weights, score, float(tried["threshold"]) if score else 0.0)
