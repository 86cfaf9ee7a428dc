"""The whole synthio flow at toy size: a real server, real children in every environment, the page, the exports, the lineage."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import soundfile

from core import manifest
from tests.house import ROOT
from tests.integration.conftest import TOY, command


def test_run_prints_address_table_and_page_and_leaves_a_record(study):
    root, environment, output = study
    assert "/runs/flow-run/" in output and "Synthio" in output and "points" in output
    page = Path(next(line for line in output.splitlines() if line.startswith("page to look")).split()[-1])
    assert page.is_file() and "./run.sh synthio num_samples=20" in page.read_text()
    assert f'href="../{page.relative_to(root).as_posix()}"' in (root / "runs/index.html").read_text(), "the index of all runs leads to it"
    state = json.loads(command(environment, "status", "--json").stdout)
    assert state["runs"][-1]["state"] == "completed" and state["runs"][-1]["peak_memory_mb"] > 100 and not state["slots_taken"]
    assert "num_samples: 20" in next((root / "runs").glob("*-synthio-*/config.yaml")).read_text()


def test_second_run_finds_everything_up_to_date_quickly(study):
    _, environment, _ = study
    started = time.monotonic()
    finished = command(environment, "synthio", *TOY)
    assert finished.returncode == 0 and "everything is up to date" in finished.stdout and "gold only" in finished.stdout
    assert time.monotonic() - started < 30


def test_plan_of_a_changed_setting_names_it_and_keeps_the_rest(study):
    _, environment, _ = study
    steps = json.loads(command(environment, "plan", "synthio", "--json", *TOY, "train_ast.steps=6").stdout)["steps"]
    pending = {step["label"].split()[0]: step["why"] for step in steps if step["state"] != "up to date"}
    assert set(pending) == {"train_ast", "report"} and "request.settings" in pending["train_ast"]


def test_no_validation_or_test_clip_touched_what_was_generated(study):
    root, _, _ = study
    tables = {}
    for path in sorted((root / "stages").glob("*/*/manifest.parquet")):  # a stage has several: losers, rounds
        tables.setdefault(path.parts[-3], []).append(manifest.read(path))
    kept_out = {clip for table in tables["prepare"] for clip in table.loc[table["split"] != "train", "clip_id"]}
    assert len(kept_out) == 40
    for table in (table for stage in ("stratify", "caption", "generate", "clap_filter") for table in tables[stage]):
        assert not kept_out & set(table["clip_id"]) and set(table["split"]) == {"train"}
        assert not kept_out & {parent for parents in table["parents"] for parent in parents}
    parents = {parent for table in tables["generate"] for parents in table["parents"] for parent in parents}
    gold, pool = ({clip for table in tables[stage] for clip in table["clip_id"]} for stage in ("stratify", "retrieve"))
    assert gold < parents <= gold | pool, "some clips started from the pool"
    for row in (row for table in tables["clap_filter"] for row in manifest.accepted(table).itertuples()):
        samples, rate = soundfile.read(root / row.path)
        assert np.isfinite(samples).all() and len(samples) == round(row.duration_s * rate)


def test_export_takes_the_training_set_out(study, tmp_path):
    _, environment, output = study
    run = output.rsplit("(run ", 1)[1].split(")")[0]  # "last" may be another flow's by now
    finished = command(environment, "export", run, "--to", "audiofolder", "--output", str(tmp_path / "out"))
    assert finished.returncode == 0, finished.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"train", "validation", "test", "clips.csv"}
    assert len(list((tmp_path / "out").glob("*/metadata.jsonl"))) == 3


def test_regenerate_publishes_what_is_there_and_changes_nothing_when_nothing_changed(study):
    root, environment, _ = study
    words = ("regenerate", f"settings={json.dumps(TOY)}", "publish_as=toy")
    first = command(environment, *words)
    assert first.returncode == 0 and "everything is up to date" in first.stdout and "published: " in first.stdout, (
        first.stdout + first.stderr
    )
    current = root / "published" / "toy" / "current"
    version = current.resolve()
    described = {"clips.csv", "version.json", "README.md", "files.sha256"}
    assert {path.name for path in current.iterdir()} == {"train", "validation", "test"} | described
    again = command(environment, *words)
    assert again.returncode == 0 and "published already" in again.stdout and current.resolve() == version


def test_ctrl_c_leaves_no_process_and_the_same_command_goes_on(world, study):
    folder, environment = world
    words = [*TOY, "draw_seed=5", "train_text_to_audio.diffusion_steps=4000"]
    running = subprocess.Popen(
        [sys.executable, "-m", "cli", "synthio", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in running.stdout:
        if "▶ train_text_to_audio" in line:
            break
    running.send_signal(2)
    output = running.communicate(timeout=100)[0]
    assert running.returncode == 130 and "goes on where it stopped" in output
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and runs_below(pid, str(folder))]  # noqa: PTH208 - /proc is no real folder
    assert not left
    steps = json.loads(command(environment, "plan", "synthio", "--json", *words).stdout)["steps"]
    assert next(step for step in steps if step["label"] == "prepare")["state"] == "up to date"
    assert json.loads(command(environment, "status", "--json").stdout)["runs"][-1]["state"] == "cancelled"


def runs_below(pid, folder):
    """Whether a process is a stage child of this data root."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return "core.host" in words and folder in words
