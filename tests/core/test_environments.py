"""Which environments there are, and which of them everybody needs."""

import importlib

import pytest

from core import config, environments, keys
from core.contract import load_spec


def test_optional_environments_are_known_but_not_needed(tmp_path):
    for name in ("data", "parity"):
        (tmp_path / "envs" / name).mkdir(parents=True)
        (tmp_path / "envs" / name / "requirements.txt").write_text("")
    (tmp_path / "envs" / "parity" / environments.OPTIONAL).write_text("for comparison only\n")
    assert environments.names(tmp_path) == ["data", "parity"] and environments.needed(tmp_path) == ["data"]


@pytest.mark.parametrize("flow", ["synthio", "syntone", "doppelgangers"])
def test_what_these_flows_run_in_is_never_optional(flow, tmp_path):
    graph = importlib.import_module(f"flows.{flow}.graph")
    plan = graph.build_graph(config.resolve(graph.CONFIG, flow, []), keys.FileDigests(tmp_path / "digests.json"), cwd=tmp_path, command="")
    assert {step.stage.environment for step in plan.graph} <= set(environments.needed())


def test_every_environment_is_there_and_optional_ones_say_what_they_are_for():
    used = {load_spec(path.parent.name).STAGE.environment for path in (keys.ROOT / "tasks").glob("*/spec.py")}
    assert used <= set(environments.names())
    for name in set(environments.names()) - set(environments.needed()):
        assert len((keys.ROOT / "envs" / name / environments.OPTIONAL).read_text().split()) > 5, name
