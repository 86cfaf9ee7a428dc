"""The Prefect flow ``doppelgangers``; what it does step by step is in :mod:`flows.doppelgangers.graph`."""

from __future__ import annotations

from prefect import flow

from flows.doppelgangers import graph
from flows.doppelgangers.config import Config
from flows.prefect_steps import threads
from flows.running import Flow, run_body, run_name
from flows.settings import as_form

as_form(Config)
HOUSE = Flow("doppelgangers", graph)


@flow(name="doppelgangers", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def doppelgangers(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "") -> str:  # noqa: B008 - frozen
    """Train encoders on synthetic twins, freeze them, and probe them on labelled clips beside untrained baselines.

    Args:
        config: the complete configuration.
        data_root: folder that results land under; empty: the worker's SYNTHLOOM_DATA.
        cwd: folder that relative dataset paths refer to; empty: where the worker was started.
        command: what to type to get the same results; empty: made up from the settings.
    """
    return run_body(HOUSE, config, data_root, cwd, command)


FLOW = doppelgangers
