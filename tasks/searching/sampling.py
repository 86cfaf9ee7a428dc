"""Samplers and pruners without a past, so that a search goes on, or is spread over devices, and proposes the same trials.

Optuna's own samplers hold random states that a killed process takes along (the published code of preset encoders pickles them). Here
every trial gets a sampler of its own, seeded by the search's seed and the trial's number, whose only other knowledge is the study.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, QMCSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

Space = dict[str, BaseDistribution]
FIRST_JUDGES = 5
"""Finished trials that a median is taken of at least."""


def sampler(number: int, startup: int, seed: int) -> BaseSampler:
    """Return what proposes a trial: scrambled Sobol points for the first ones, then multivariate TPE with grouped parameters.

    A study's very first trial is at random: Optuna learns the space from it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if number < startup:
            return QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
        return TPESampler(n_startup_trials=0, multivariate=True, group=True, seed=seed * 1_000_003 + number)


def pruner(kind: str, judges: int = FIRST_JUDGES) -> BasePruner:
    """Return what ends a trial early: nobody, or the median of at least ``judges`` finished trials at the same look."""
    return MedianPruner(judges) if kind == "median" else NopPruner()


def remembered(told: Sequence[dict[str, Any]], space: Space, kind: str, judges: int = FIRST_JUDGES) -> optuna.Study:
    """Return a study in memory that knows some ended trials, in the order of their numbers.

    Args:
        told: of each trial ``number``, ``state`` (``complete`` or ``pruned``), ``value``, ``tried``, ``looks`` as (step, value).
        space: what is tried.
        kind: of pruner.
        judges: of the pruner.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=pruner(kind, judges))
    study.add_trials([_frozen(one, space) for one in sorted(told, key=lambda one: one["number"])])
    return study


def _frozen(one: dict[str, Any], space: Space) -> FrozenTrial:
    looks = {int(step): float(value) for step, value in one["looks"]}
    state = TrialState.COMPLETE if one["state"] == "complete" else TrialState.PRUNED
    value = one["value"] if state == TrialState.COMPLETE else None
    return create_trial(state=state, value=value, params=one["tried"], distributions=space, intermediate_values=looks)


def proposal(number: int, told: Sequence[dict[str, Any]], space: Space, default: dict[str, Any], startup: int, seed: int) -> dict[str, Any]:
    """Return what a trial tries; it hangs on its number, the seed and the trials that it may know of, and on nothing else.

    Args:
        number: of the trial; 0 tries ``default``.
        told: the ended trials that it may know of; trial 0 is not learnt from, since ``default`` may say only nearly what it did.
        space: what is tried.
        default: numbers of trial 0.
        startup: trials before TPE, which knows what was found, takes over.
        seed: of the search.
    """
    if number == 0:
        return default
    if number < startup:
        # Sobol points are counted by study: one that knows nothing but the space is asked as often as the trial's number.
        study = remembered([{"number": 0, "state": "complete", "value": 0.0, "tried": default, "looks": []}], space, "none")
        study.sampler = sampler(number, startup, seed)
        return [study.ask(space).params for _ in range(number)][-1]
    study = remembered([one for one in told if one["number"]], space, "none")
    study.sampler = sampler(number, startup, seed)
    return study.ask(space).params
