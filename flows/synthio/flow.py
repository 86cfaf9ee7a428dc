"""The Prefect flow ``synthio``; what it does step by step is in :mod:`flows.synthio.graph`."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.running import MAX_THREADS, run_body
from flows.synthio import graph

_RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=MAX_THREADS)


@flow(name="synthio", flow_run_name="{title}", task_runner=_RUNNER, persist_result=False)
def synthio(title: str, settings: dict[str, Any], data_root: str, cwd: str = ".", command: str = "./run.sh synthio") -> str:
    """Augment a small labelled set with generated clips and measure what it brings.

    Args:
        title: name of the run.
        settings: the complete configuration (``configs/synthio.yaml`` with overrides applied).
        data_root: folder that results land under.
        cwd: folder that relative dataset paths refer to.
        command: what to type to get the same results.
    """
    return run_body("synthio", graph, settings, data_root, cwd, command)


FLOW = synthio
