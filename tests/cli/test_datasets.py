"""Published datasets as a person handles them: publish, list, compare, verify, send away, fetch, and start a flow from them."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from cli.__main__ import main
from core import environments, runs
from tests import datasets as toy

ROOT = Path(__file__).resolve().parents[2]


def settings(data_root, **extra):
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "SYNTHLOOM_S3"))}
    return {**kept, "PYTHONPATH": str(ROOT), "SYNTHLOOM_DATA": str(data_root), "SYNTHLOOM_CWD": str(data_root), **extra}


def run(data_root, *words, **extra):
    """Type a command; in this process, for a new one takes seconds to import what this one has."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, settings(data_root, **extra), clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def said(data_root, *words, **extra):
    finished = run(data_root, *words, "--json", **extra)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def ran(root, number, exports, state="completed"):
    record = runs.Run(f"2026-{number}", "synthio", "t", "./run.sh synthio", 0.0, [], "stages/report/1", state=state, finished_at=60.0,
                      extra={"exports": exports})  # fmt: skip
    runs.save(root, record)
    (runs.folder(root, record.run_id) / "config.yaml").write_text("num_samples: 5\n")


@pytest.fixture
def published(data_root):
    """A data root with two runs, and two versions of the dataset ``toy``."""
    gold = toy.gold(data_root)
    ran(data_root, 1, [gold])
    ran(data_root, 2, [gold, toy.made(data_root)])
    made = [said(data_root, "publish", f"2026-{number}", "--as", "toy") for number in (1, 2)]
    assert [item["new"] for item in made] == [True, True]
    return data_root


def test_publish_list_compare_and_verify(published):
    finished = run(published, "publish", "last", "--as", "toy")
    assert finished.returncode == 0 and "published already: toy@" in finished.stdout and "known limits:\n  - " in finished.stdout
    rows = said(published, "datasets")
    assert [(row["name"], row["clips"], row["form"], row["current"]) for row in rows] == [
        ("toy", 6, "audiofolder", False),
        ("toy", 8, "audiofolder", True),
    ]
    assert rows[1]["parent"] == rows[0]["version"] and "toy" in run(published, "datasets").stdout
    difference = said(published, "diff", "toy")
    assert difference["clips"] == [6, 8] and len(difference["added"]) == 2 and difference["facts"]["run"] == ["2026-1", "2026-2"]
    back = said(published, "diff", "toy", rows[1]["version"], rows[0]["version"][:6])
    assert back["removed"] == difference["added"] and "2 clips added" in run(published, "diff", "toy").stdout
    assert said(published, "verify", "toy")["ok"] and said(published, "verify", f"toy@{rows[0]['version']}")["ok"]
    version = json.loads((published / "published/toy/current/version.json").read_text())
    assert version["command"] == "./run.sh synthio" and version["settings"] == {"num_samples": 5} and version["facts"] == {"run": "2026-2"}


def test_verify_fails_with_the_file_that_changed(published):
    clip = next((published / "published/toy/current/train").glob("*.flac"))
    data = bytearray(clip.read_bytes())
    data[len(data) // 2] ^= 1
    clip.write_bytes(data)
    for words in (["toy"], ["./published/toy/current"]):
        finished = run(published, "verify", *words)
        assert finished.returncode == 1 and f"train/{clip.name}: digest: " in finished.stdout and "1 findings" in finished.stdout
    finished = run(published, "push", "toy", f"file://{published}/away")
    assert finished.returncode == 2 and "damaged" in finished.stderr and not (published / "away").exists()


def test_a_dataset_goes_to_a_folder_and_comes_back_on_another_machine(published, tmp_path):
    done = said(published, "push", "toy", f"file://{tmp_path}/away")
    other = tmp_path / "other"
    got = said(other, "pull", f"file://{tmp_path}/away", "--as", "theirs")
    folder = Path(got["folder"])
    assert got["version"] == done["version"] and folder == other / "published/theirs" / done["version"]
    assert (other / "published/theirs/current").resolve() == folder and said(other, "verify", "theirs")["ok"]
    assert not list(folder.parent.glob(".*")), "nothing half"
    assert said(other, "pull", f"file://{tmp_path}/away", "--as", "theirs")["fetched"] == 0
    text = run(other, "pull", f"file://{tmp_path}/away").stdout
    assert "every digest is right" in text and "dataset=published dataset.name=toy" in text


def test_a_damaged_version_is_mended_by_a_pull(published, tmp_path):
    run(published, "push", "toy", f"file://{tmp_path}/away")
    other = tmp_path / "other"
    folder = Path(said(other, "pull", f"file://{tmp_path}/away")["folder"])
    victim, stray = next((folder / "train").glob("*.flac")), folder / "stray.txt"
    victim.write_bytes(bytes(victim.stat().st_size))
    stray.write_text("x")
    assert run(other, "verify", "toy").returncode == 1
    got = said(other, "pull", f"file://{tmp_path}/away")
    assert got["fetched"] == 1 and said(other, "verify", "toy")["ok"] and not stray.exists()
    assert not list(folder.parent.glob(".*")), "nothing half"
    away = tmp_path / "away" / victim.relative_to(folder)  # damaged at the address: what the error says helps
    size = away.stat().st_size
    away.write_bytes(bytes(size))
    victim.unlink()
    finished = run(other, "pull", f"file://{tmp_path}/away")
    assert finished.returncode == 2 and "remove it there" in finished.stderr and (folder / "clips.csv").is_file()
    away.unlink()
    assert said(published, "push", "toy", f"file://{tmp_path}/away")["sent"] == 3
    assert said(other, "pull", f"file://{tmp_path}/away")["fetched"] == 1 and said(other, "verify", "toy")["ok"]


def test_a_pull_that_is_killed_is_no_version_and_goes_on(published, tmp_path):
    run(published, "push", "toy", f"file://{tmp_path}/away")
    other = tmp_path / "other"
    fifo = tmp_path / "away" / "test" / "slow"  # keeps one file of the version from arriving: its sender never opens the other end
    clip = next((tmp_path / "away" / "test").glob("*.flac"))
    size = clip.stat().st_size
    clip.rename(fifo)
    clip.write_bytes(bytes(size))  # the right size and other bytes: refused by its digest
    finished = run(other, "pull", f"file://{tmp_path}/away")
    assert finished.returncode == 2 and "another digest" in finished.stderr and not (other / "published/toy/current").exists()
    assert said(other, "datasets") == []
    fifo.replace(clip)
    got = said(other, "pull", f"file://{tmp_path}/away")
    # What was on its way when the damaged file was met has arrived, what had not begun has not.
    assert got["passed_over"] > 5 and 0 < got["fetched"] < 9 and said(other, "verify", "toy")["ok"]


def test_a_killed_push_takes_its_child_along_and_goes_on(published, tmp_path):
    many = toy.gold(published, 400, "stages/prepare/" + "e" * 20)
    ran(published, 3, [many])
    said(published, "publish", "2026-3", "--as", "many")
    parent = subprocess.Popen([sys.executable, "-m", "cli", "push", "many", f"file://{tmp_path}/away"], cwd=ROOT, env=settings(published),
                              stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert parent.stderr.readline().startswith("sent ")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    time.sleep(0.5)
    # The kill may come while the list of what has arrived is written, which leaves it cut off or empty.
    (tmp_path / "away" / ".synthloom-sent").write_bytes(b"")
    before = len(list((tmp_path / "away").rglob("*.flac")))
    time.sleep(0.5)
    assert len(list((tmp_path / "away").rglob("*.flac"))) == before, "nobody sends any more"
    assert said(published, "push", "many", f"file://{tmp_path}/away")["passed_over"] >= 64
    assert said(tmp_path / "other", "pull", f"file://{tmp_path}/away")["fetched"] == 400 + 6


@pytest.fixture
def s3(tmp_path):
    """An S3-compatible server (moto) as a process of its own; yields the environment that leads to it."""
    environments.build("exchange", print)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "moto.log").open("w") as log:
        server = subprocess.Popen([str(environments.python("exchange")), "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"), timeout=2).close()
            break
        except OSError:
            time.sleep(0.1)
    yield {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test-id",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.terminate()
    server.wait(10)


def test_a_dataset_goes_to_s3_and_comes_back(published, tmp_path, s3):
    done = said(published, "push", "toy", "s3://bucket/sets/toy", **s3)
    assert said(published, "push", "toy", "s3://bucket/sets/toy", **s3)["sent"] == 0
    got = said(tmp_path / "other", "pull", "s3://bucket/sets/toy", **s3)
    assert got["version"] == done["version"] and said(tmp_path / "other", "verify", "toy")["ok"]
    finished = run(published, "push", "toy", "s3://no-such-bucket/x", **s3)
    assert (
        finished.returncode == 2
        and "bucket does not exist" in finished.stderr
        and "secret-of-the-test" not in finished.stderr + finished.stdout
    )
    assert "make the bucket first" in finished.stderr


def test_a_published_dataset_is_a_dataset_for_a_flow(published):
    plan = said(published, "plan", "synthio", "dataset=published", "dataset.name=toy", "num_samples=2")
    assert plan["steps"][0]["label"] == "prepare" and "synthesize_demo" not in [step["label"] for step in plan["steps"]]
    first = said(published, "datasets")[0]["version"]
    other = said(published, "plan", "synthio", "dataset=published", "dataset.name=toy", f"dataset.published=toy@{first}", "num_samples=2")
    assert other["steps"][0]["output"] != plan["steps"][0]["output"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["publish", "last"], "usage"),
        (["publish", "last", "--as", "../x"], "letters, digits"),
        (["publish", "last", "--as", "x", "--to", "zip"], "audiofolder"),
        (["publish", "last", "--as", "x", "--keep", "none"], "1 or more"),
        (["publish", "2026-9", "--as", "x"], "no such run"),
        (["diff", "toi"], "did you mean 'toy'"),
        (["diff", "toy", "ffff"], "no such version"),
        (["verify"], "usage"),
        (["verify", "/nowhere/at/all"], "no such folder"),
        (["push", "toy"], "usage"),
        (["push", "toy", "/home/me"], "file:///"),
        (["push", "toy", "s3://a:secret-word@b/c"], "credentials come from the environment"),
        (["push", "toy@ffff", "file:///x"], "no such version"),
        (["pull", "file:///nowhere/at/all"], "no version of a dataset"),
        (["pull", "file:///x", "--as", "../y"], "letters, digits"),
        (["datasets", "all"], "not understood"),
        (["plan", "synthio", "dataset=published", "dataset.name=tay"], "did you mean 'toy'"),
    ],
)
def test_refusals_name_what_is_wrong_and_what_to_type(words, text, refusing):
    finished = run(refusing, *words)
    assert (
        finished.returncode == 2 and text in finished.stderr and "Traceback" not in finished.stderr and "secret-word" not in finished.stderr
    )


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    root = tmp_path_factory.mktemp("refusing")
    ran(root, 1, [toy.gold(root)])
    said(root, "publish", "last", "--as", "toy")
    return root


def test_what_did_not_finish_or_has_no_audio_is_not_handed_on(data_root, tmp_path):
    ran(data_root, 1, [toy.gold(data_root)], state="failed")
    finished = run(data_root, "publish", "last", "--as", "toy")
    assert finished.returncode == 2 and "a completed run" in finished.stderr and "./run.sh synthio" in finished.stderr
    ran(data_root, 2, [toy.GOLD])
    said(data_root, "publish", "last", "--as", "toy", "--to", "csv")
    for words in (["push", "toy", f"file://{tmp_path}/away"], ["plan", "synthio", "dataset=published", "dataset.name=toy"]):
        finished = run(data_root, *words)
        assert finished.returncode == 2 and "--to audiofolder" in finished.stderr
    finished = run(data_root, "diff", "toy")
    assert finished.returncode == 2 and "one version only" in finished.stderr
