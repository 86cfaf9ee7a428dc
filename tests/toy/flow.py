"""The Prefect flow ``toy``; also a program: ``python -m tests.toy.flow DATA_ROOT '{"items": 3}'``."""

from __future__ import annotations

import json
import sys

from prefect import flow

from flows.prefect_steps import listen, threads
from flows.running import Flow, on_started, run_body, run_name
from flows.settings import as_form
from tests.toy import graph
from tests.toy.graph import Config

as_form(Config)
HOUSE = Flow("toy", graph)


@flow(name="toy", flow_run_name=run_name(HOUSE), task_runner=threads(), persist_result=False)
def toy(config: Config = Config(), data_root: str = "", cwd: str = "", command: str = "./run.sh toy") -> str:  # noqa: B008 - frozen
    """Count, for tests."""
    return run_body(HOUSE, config, data_root, cwd, command)


if __name__ == "__main__":
    listen(lambda step, event: print(step.label, event["event"], event.get("pid", ""), flush=True))
    on_started(lambda address: print("address", address, flush=True))
    toy(config=json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}, data_root=sys.argv[1])
