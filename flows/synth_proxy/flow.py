"""The Prefect flow ``synth_proxy``; what it does step by step is in :mod:`flows.synth_proxy.graph`."""

from __future__ import annotations

from prefect import flow

from flows.prefect_steps import threads
from flows.running import Flow, run_body, run_name
from flows.settings import as_form
from flows.synth_proxy import graph
from flows.synth_proxy.config import Config

as_form(Config)
HOUSE = Flow("synth_proxy", graph)


@flow(name="synth_proxy", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def synth_proxy(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "") -> str:  # noqa: B008 - frozen
    """Render presets of a synthesiser, train encoders that foretell how presets sound, and score them on presets they never saw.

    Args:
        config: the complete configuration.
        data_root: folder that results land under; empty: the worker's SYNTHLOOM_DATA.
        cwd: folder that relative paths refer to; empty: where the worker was started.
        command: what to type to get the same results; empty: made up from the settings.
    """
    return run_body(HOUSE, config, data_root, cwd, command)


FLOW = synth_proxy
