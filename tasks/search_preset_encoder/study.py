"""An Optuna study that goes on exactly where it was: its database as it was after the last finished trial, and samplers without a past.

Optuna's own samplers hold random states that a killed process takes along (the published code pickles them). Here every trial gets a
sampler of its own, seeded by the search's seed and the trial's number, whose only other knowledge is the database; and a trial that
was cut off leaves no trace, since the database goes back to its copy.
"""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler, QMCSampler, TPESampler

from core import atomic

DATABASE, COPY = "study.db", "study.finished.db"
NAME = "search"


def open_study(folder: Path) -> optuna.Study:
    """Return the study of a folder as it was after its last finished trial; a new one if there was none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database, copy = folder / DATABASE, folder / COPY
    for leftover in folder.glob(f"{DATABASE}*"):
        leftover.unlink()  # the database and its journal, with a trial that was cut off
    if copy.is_file():
        atomic.write_bytes(database, copy.read_bytes())
    return optuna.create_study(storage=f"sqlite:///{database}", study_name=NAME, direction="maximize", load_if_exists=True)


def keep(folder: Path) -> None:
    """Copy the database, after a trial has ended."""
    with atomic.replacing(folder / COPY) as temporary:
        source, target = sqlite3.connect(folder / DATABASE), sqlite3.connect(temporary)
        with closing(source), closing(target):
            source.backup(target)


def close(folder: Path) -> None:
    """Leave one finished database behind."""
    (folder / COPY).replace(folder / DATABASE)
    for leftover in folder.glob(f"{DATABASE}-*"):
        leftover.unlink()


def sampler(number: int, startup: int, seed: int) -> BaseSampler:
    """Return what proposes a trial: scrambled Sobol points for the first ones, then multivariate TPE with grouped parameters.

    The very first trial is at random: Optuna learns the space from it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if number < startup:
            return QMCSampler(qmc_type="sobol", scramble=True, seed=seed)
        return TPESampler(n_startup_trials=0, multivariate=True, group=True, seed=seed * 1_000_003 + number)
