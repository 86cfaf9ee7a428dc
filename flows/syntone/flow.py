"""The Prefect flow ``syntone``; what it does step by step is in :mod:`flows.syntone.graph`."""

from __future__ import annotations

from prefect import flow

from flows.prefect_steps import threads
from flows.running import Flow, run_body, run_name
from flows.settings import as_form
from flows.syntone import graph
from flows.syntone.config import Config

as_form(Config)
HOUSE = Flow("syntone", graph)


@flow(name="syntone", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def syntone(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "") -> str:  # noqa: B008 - frozen
    """Synthesise clips with known factors, train autoencoders on them, and score how well their codes separate the factors.

    Args:
        config: the complete configuration.
        data_root: folder that results land under; empty: the worker's SYNTHLOOM_DATA.
        cwd: folder that relative paths refer to; empty: where the worker was started.
        command: what to type to get the same results; empty: made up from the settings.
    """
    return run_body(HOUSE, config, data_root, cwd, command)


FLOW = syntone
