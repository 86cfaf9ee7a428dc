"""A full disk, a read-only disk, a memory limit, a clock that jumps: real children, real mounts where the machine lets us."""

import json
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.devices import Device
from core.engine import Engine
from core.errors import StageCrashed, StageFailed
from core.keys import FileDigests
from core.store import Store

ROOT = Path(__file__).resolve().parents[2]


def mount(folder, *options):
    return subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(folder):
    """Yield a folder that holds 8 MB: a tmpfs of its own, or, where mounting is forbidden, a limit on the size of a file."""
    if mount(folder, "-t", "tmpfs", "-o", "size=8m", "tmpfs"):
        try:
            yield True
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, hard))
    try:
        yield False
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def engine_for(root):
    return Engine(Store(root), [Device("cpu", 0, "cpu-0", "test", 8000)])


def test_full_disk_is_named_publishes_nothing_and_good_data_stays(extra_stages, data_root, make_step):
    with small_disk(data_root) as mounted:
        (data_root / "digests.json").write_text("{}")
        engine = engine_for(data_root)
        good = engine.run(make_step("misbehave", salt=1))
        with pytest.raises(StageFailed, match=r"No space left on device|File too large"):
            engine.run(make_step("misbehave", how="full_disk"))
        assert engine.store.done("misbehave", good.key) == good
        if mounted:
            assert mount(data_root, "-o", "remount,size=64m")
            assert engine.run(make_step("misbehave", how="full_disk")).result == {"fine": True}, "the same work succeeds with room"


def test_read_only_data_root_is_said_in_one_line_and_nothing_starts(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    if not (mount(root, "-t", "tmpfs", "-o", "size=8m", "tmpfs") and mount(root, "-o", "remount,ro")):
        root.rmdir()
        root = Path("/sys/synthloom")  # nothing can be made there, by nobody
    try:
        environment = {**os.environ, "SYNTHLOOM_DATA": str(root), "PYTHONPATH": str(ROOT), "SYNTHLOOM_PORT": "0"}
        command = [sys.executable, "-m", "cli", "synthio", "num_samples=20"]
        finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False)
        assert finished.returncode == 2 and "Traceback" not in finished.stderr
        assert str(root) in finished.stderr and "SYNTHLOOM_DATA" in finished.stderr
    finally:
        subprocess.run(["umount", "-l", str(root)], capture_output=True, check=False)


def test_child_killed_by_the_memory_limit_is_a_crash_that_says_so(engine, make_step):
    with pytest.raises(StageCrashed, match=r"SIGKILL.*out-of-memory killer"):
        engine.run(make_step("misbehave", how="killed"))


def test_hundred_megabytes_of_output_leave_a_short_log(engine, make_step, data_root):
    step = make_step("misbehave", how="shout")
    engine.run(step)
    log = next((data_root / "attempts/misbehave" / step.key).glob("*/output.log"))
    assert log.stat().st_size < 25_000_000 and "the rest was not kept" in log.read_text()[-200:]


def test_jumping_clock_ends_no_child_and_loses_no_shard(engine, make_step, monkeypatch):
    real, started = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: real() + (-86_400.0 if int((time.monotonic() - started) * 5) % 2 else 86_400.0))
    step = make_step("count", items=30, shards=5, seconds_per_shard=0.2)
    engine.run_shards(step, range(5))
    assert engine.run(step).result["items"] == 30
    assert engine.shard_groups(step) == [] and engine.store.done("count", step.key)


def test_file_changed_while_the_clock_stood_back_is_read_again(tmp_path):
    path, memory = tmp_path / "clips.csv", tmp_path / "digests.json"
    path.write_text("aaaa")
    os.utime(path, ns=(10**18, 10**18))
    digests = FileDigests(memory)
    before = digests.file(path)
    digests.save()
    time.sleep(0.02)
    path.write_text("bbbb")
    os.utime(path, ns=(10**18, 10**18))  # same size, same modification time
    assert FileDigests(memory).file(path) != before
    assert json.loads(memory.read_text())
