"""An Optuna study that goes on exactly where it was: its database as it was after the last finished trial.

The samplers have no past (``tasks/searching``), and a trial that was cut off leaves no trace, since the database goes back to its copy.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna

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
