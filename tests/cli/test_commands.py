"""The command line as a person uses it: real processes, what they print, what they refuse, what they return."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli import plan
from cli.console import Console, summary
from core import runs
from core.graph import Graph
from core.keys import FileDigests
from core.store import Store

ROOT = Path(__file__).resolve().parents[2]


def run(data_root, *words, cwd=ROOT):
    settings = {"PYTHONPATH": str(ROOT), "SYNTHLOOM_DATA": str(data_root), "SYNTHLOOM_CWD": str(cwd), "SYNTHLOOM_PORT": "0"}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["synthi"], "did you mean 'synthio'"),
        (["synthio", "num_sample=3"], "did you mean 'num_samples'"),
        (["synthio", "num_samples=many"], "allowed: int"),
        (["synthio", "train_ast.stepz=3"], "did you mean 'steps'"),
        (["synthio", "dataset=esc11"], "did you mean 'esc10'"),
        (["synthio", "dataset=esc10"], "dataset.root"),
        (["synthio", "dataset=esc10", "dataset.root=/nowhere"], "no such file or folder"),
        (["synthio", "num_samples=0"], "out of range"),
        (["synthio", "clap_checkpoint=nothing.pt"], "clap_checkpoint: no such file"),
        (["synthio", "train_ast.pretrained=nowhere"], "train_ast.pretrained: no such file"),
        (["synthio", "--config", "nothing.yaml"], "no such file"),
        (["synthio", "--config"], "needs a value"),
        (["setup", "difusion"], "did you mean 'diffusion'"),
        (["export", "last", "--to", "csv"], "nothing ran yet"),
        (["export", "last"], "usage"),
        (["bench", "engin"], "did you mean 'engine'"),
        (["status", "now"], "nothing ran yet"),
        (["down", "now"], "not understood"),
        (["up", "--cluster", "many"], "a number of workers"),
    ],
)
def test_refusals_name_the_key_suggest_the_nearest_and_start_nothing(data_root, words, text):
    finished = run(data_root, *words)
    assert finished.returncode == 2 and text in finished.stderr and "Traceback" not in finished.stderr
    assert not (data_root / "stages").exists() and not (data_root / "prefect" / "server.json").exists()


def test_plan_needs_no_server_and_speaks_json(data_root):
    finished = run(data_root, "plan", "synthio", "--json", "num_samples=20")
    value = json.loads(finished.stdout)
    assert finished.returncode == 0 and value["to_run"] == len(value["steps"]) and value["title"].endswith("n=20 · seed 0")
    labels = [step["label"] for step in value["steps"]]
    assert labels[0] == "synthesize_demo" and labels[-1] == "report" and labels.index("stratify") < labels.index("caption mixcap")
    again = json.loads(run(data_root, "plan", "synthio", "--json", "num_samples=20").stdout)
    assert [step["output"] for step in again["steps"]] == [step["output"] for step in value["steps"]], "keys are stable"


def test_relative_dataset_root_is_relative_to_the_caller(data_root, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "esc10.csv").write_text("path,label,fold\na.wav,a,1\n")
    assert run(data_root, "plan", "synthio", "dataset=esc10", "dataset.root=mine", cwd=tmp_path).returncode == 0
    assert run(data_root, "plan", "synthio", "dataset=esc10", "dataset.root=mine", cwd=ROOT).returncode == 2


def test_status_and_doctor_speak_json_and_text(data_root):
    state = json.loads(run(data_root, "status", "--json").stdout)
    assert state["runs"] == [] and state["data_root"] == str(data_root)
    finished = run(data_root, "doctor", "--json")
    findings = {item["what"]: item["level"] for item in json.loads(finished.stdout)["findings"]}
    assert findings["Python"] == "ok" and findings["devices"] == "ok" and finished.returncode == 0
    assert "none yet" in run(data_root, "status").stdout and "help" not in run(data_root, "down").stderr


def test_help_teaches_the_commands(data_root):
    text = run(data_root, "--help").stdout
    assert all(word in text for word in ("plan", "setup", "doctor", "export", "status", "bench", "test", "synthio", "SYNTHLOOM_DATA"))


def test_plan_says_why(data_root, engine, make_step):
    graph = Graph(FileDigests(data_root / "digests.json"))
    first = graph.add("count", make_step("count", items=3, shards=2).request, "first")
    graph.add("count", type(first.request)(items=4, shards=2, before=first.output), "second")
    store = Store(data_root)
    assert [step.why for step in plan.plan(graph, store)] == ["never ran", "what it reads will be made anew"]
    engine.run_shards(first, [0])
    assert plan.plan(graph, store)[0].state == "resume" and plan.plan(graph, store)[0].shards_done == 1
    engine.run(first)
    planned = plan.plan(graph, store)
    assert [step.state for step in planned] == ["up to date", "run"]
    assert planned[1].why == "changed since the last run: request.before, request.items" and planned[1].estimate_s is not None
    assert plan.plan(graph, store, ["count"])[0].why == "forced"


def test_runs_are_found_by_id_beginning_and_last(data_root):
    for number in (1, 2):
        record = runs.Run(
            f"2026-{number}", "synthio", "t", "./run.sh", 0.0, [], f"stages/report/{number}", state="completed", finished_at=60.0
        )
        runs.save(data_root, record)
    assert runs.load(data_root, "last").run_id == "2026-2" == runs.load(data_root, "2026-2").run_id
    assert runs.with_report(data_root, "stages/report/1").wall_s == 60.0
    with pytest.raises(ValueError, match="no such run"):
        runs.load(data_root, "2026")


def test_console_prints_one_line_a_step_where_there_is_no_terminal(capsys, make_step, extra_stages):
    step, console = make_step("count"), Console()
    for event in ({"event": "started"}, {"event": "progress", "done": 1, "total": 2, "unit": "shards"},
                  {"event": "published", "result": {"items": 3, "share": 0.51234, "flag": True}, "usage": {"wall_s": 2.0}}):  # fmt: skip
        console.event(step, event)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "▶ count" in lines[0] and "✓ count  items 3, share 0.512" in lines[1]
    assert summary({"name": "x"}) == ""


def test_console_says_once_that_steps_wait_when_nobody_works(capsys, make_step, extra_stages, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("cli.console.time.monotonic", lambda: now[0])
    step, console = make_step("count"), Console()
    for seconds, event in ((5, "waiting"), (20, "waiting"), (10, "waiting"), (10, "waiting"), (200, "waiting"), (90, "waiting")):
        now[0] += seconds
        console.event(step, {"event": event})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "0:35    count waits for a free core or device; ./run.sh status" in lines[0] and "5:35" in lines[1]
    console.event(step, {"event": "started"})
    now[0] += 20
    console.event(step, {"event": "waiting"})
    assert len(capsys.readouterr().out.splitlines()) == 1, "another child works"
