"""The Prefect flow ``delsa``; what it does step by step is in :mod:`flows.delsa.graph`."""

from __future__ import annotations

from prefect import flow

from flows.delsa import graph
from flows.delsa.config import Config
from flows.prefect_steps import threads
from flows.running import Flow, run_body, run_name
from flows.settings import as_form

as_form(Config)
HOUSE = Flow("delsa", graph)


@flow(name="delsa", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def delsa(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "") -> str:  # noqa: B008 - frozen
    """Train a model on dry clips in simulated rooms to tell what sounds from where it sounds, and score it on held-out clips and rooms.

    Args:
        config: the complete configuration.
        data_root: folder that results land under; empty: the worker's SYNTHLOOM_DATA.
        cwd: folder that relative dataset paths refer to; empty: where the worker was started.
        command: what to type to get the same results; empty: made up from the settings.
    """
    return run_body(HOUSE, config, data_root, cwd, command)


FLOW = delsa
