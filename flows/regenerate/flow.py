"""The Prefect flow ``regenerate``; deployed with a schedule for each published dataset (prefect.yaml)."""

from __future__ import annotations

from prefect import flow

from flows.prefect_steps import threads
from flows.regenerate import graph
from flows.regenerate.config import Config
from flows.running import Flow, run_body, run_name
from flows.settings import as_form

as_form(Config)
HOUSE = Flow("regenerate", graph)


@flow(name="regenerate", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def regenerate(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "") -> str:  # noqa: B008 - frozen
    """Bring a published dataset up to date: run what is stale, publish a new version when something changed.

    Args:
        config: what to regenerate and how to publish it.
        data_root: folder that results land under; empty: the worker's SYNTHLOOM_DATA.
        cwd: folder that relative dataset paths refer to; empty: where the worker was started.
        command: what to type to get the same results; empty: made up from the settings.
    """
    return run_body(HOUSE, config, data_root, cwd, command)


FLOW = regenerate
