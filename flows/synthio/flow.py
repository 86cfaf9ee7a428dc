"""The Prefect flow ``synthio``; what it does step by step is in :mod:`flows.synthio.graph`."""

from __future__ import annotations

from prefect import flow

from flows.prefect_steps import threads
from flows.running import Flow, run_body, run_name
from flows.settings import as_form
from flows.synthio import graph
from flows.synthio.config import Config

as_form(Config)
HOUSE = Flow("synthio", graph)


@flow(name="synthio", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def synthio(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "") -> str:  # noqa: B008 - frozen
    """Augment a small labelled set with generated clips and measure what it brings.

    Args:
        config: the complete configuration.
        data_root: folder that results land under; empty: the worker's SYNTHLOOM_DATA.
        cwd: folder that relative dataset paths refer to; empty: where the worker was started.
        command: what to type to get the same results; empty: made up from the settings.
    """
    return run_body(HOUSE, config, data_root, cwd, command)


FLOW = synthio
