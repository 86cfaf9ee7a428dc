"""Which environments there are, and which of them everybody needs."""

import importlib
import shutil

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


def test_a_link_to_another_checkouts_environment_is_replaced_and_not_cleared(tmp_path, monkeypatch):
    for checkout in ("theirs", "ours"):
        folder = tmp_path / checkout / "envs/data"
        folder.mkdir(parents=True)
        (folder / "requirements.txt").write_text("")
        (folder / ".python-version").write_text("3.11\n")
    ours, theirs, disk = tmp_path / "ours/envs/data/.venv", tmp_path / "theirs/envs/data/.venv", tmp_path / "large disk"
    asked = []

    def uv(name, *words):
        asked.append(words)
        (ours / "bin").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "_uv", uv)
    (theirs / "bin").mkdir(parents=True)
    (theirs / "bin/python").write_text("in use")
    ours.symlink_to(theirs)
    assert environments.build("data", print, tmp_path / "ours") and asked[0][0] == "venv"
    assert not ours.is_symlink() and (theirs / "bin/python").read_text() == "in use" and not (theirs / environments.MARKER).exists()
    shutil.rmtree(ours)
    disk.mkdir()
    ours.symlink_to(disk)  # a folder elsewhere for its room is the person's own
    assert environments.build("data", print, tmp_path / "ours") and ours.is_symlink() and environments.is_ready("data", tmp_path / "ours")
