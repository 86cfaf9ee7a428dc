import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core import launcher
from core.engine import Engine, forget
from core.errors import StageCancelled, StageCrashed, StageFailed, StageTimeout
from core.launcher import OutOfDeviceMemory

ROOT = Path(__file__).resolve().parents[2]


def work_log(data_root):
    path = data_root / "work.log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def alive(pid):
    """A zombie counts as gone: it runs nothing and only waits to be reaped by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def do_all(engine, step):
    threads = [threading.Thread(target=engine.run_shards, args=(step, group)) for group in engine.shard_groups(step)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return engine.run(step)


def test_sharded_step_is_done_and_published_with_digests(engine, make_step, data_root):
    step = make_step("count", items=23, shards=6)
    done = do_all(engine, step)
    assert done.result == {"items": 23, "total": sum(range(23))}
    output = data_root / done.output
    assert json.loads((output / "items.json").read_text()) == list(range(23))
    assert set(done.files) == {"items.json", "result.json"}
    assert not (data_root / "stages/count" / f"{step.key}.partial").exists()
    assert len({pid for _, pid, _ in work_log(data_root)}) == 2, "two slots, so two children shared the shards"
    assert done.usage["cpu_s"] > 0 and done.usage["peak_memory_mb"] > 5


def test_second_run_does_nothing(engine, make_step, data_root):
    step = make_step("count", items=5, shards=2)
    do_all(engine, step)
    before = work_log(data_root)
    assert engine.shard_groups(step) == []
    engine.run(step)
    assert work_log(data_root) == before


def test_failed_shard_is_resumed_without_redoing_the_others(engine, make_step, data_root):
    step = make_step("count", items=10, shards=5, fail_shard=4)
    with pytest.raises(StageFailed, match="shard 4 was told to fail"):
        engine.run_shards(step, [0, 1, 2, 3, 4])
    assert engine.store.done_shards("count", step.key) == [0, 1, 2, 3]
    assert engine.shard_groups(step) == [[4]]
    assert engine.store.done("count", step.key) is None


def test_killed_child_leaves_finished_shards_and_the_next_run_goes_on(engine, make_step, data_root):
    step = make_step("count", items=12, shards=6, seconds_per_shard=0.15)
    crashes = []

    def work():
        try:
            engine.run_shards(step, range(6))
        except StageCrashed as error:
            crashes.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while len(work_log(data_root)) < 2:
        time.sleep(0.02)
    os.kill(int(work_log(data_root)[0][1]), signal.SIGKILL)
    thread.join()
    assert "SIGKILL" in str(crashes[0])
    assert do_all(engine, step).result["items"] == 12
    shards = [shard for shard, _, _ in work_log(data_root)]
    assert sorted(shards) == sorted(set(shards)), "no shard was done twice"


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("raise", StageFailed, "ValueError: the stage raised on purpose"),
        ("segfault", StageCrashed, "SIGSEGV"),
        ("exit", StageCrashed, "exit code 3"),
        ("memory", OutOfDeviceMemory, "too little"),
        ("no_result", StageCrashed, "without a valid result.json"),
        ("hang", StageTimeout, "2 s without a sign of life"),
    ],
)
def test_every_way_to_fail_is_named_and_publishes_nothing(engine, make_step, data_root, how, error, text):
    step = make_step("misbehave", how=how)
    with pytest.raises(error, match=text):
        engine.run(step)
    assert not (data_root / step.output).exists()


def test_child_that_ignores_sigterm_is_killed(engine, make_step, monkeypatch):
    monkeypatch.setattr(launcher, "GRACE_S", 0.5)
    started = time.monotonic()
    with pytest.raises(StageTimeout):
        engine.run(make_step("misbehave", how="ignore_sigterm"))
    assert time.monotonic() - started < 10


def test_shouting_child_does_not_fill_memory_and_still_succeeds(engine, make_step):
    assert engine.run(make_step("misbehave", how="shout")).result == {"fine": True}


def test_stray_prints_do_not_break_the_protocol(engine, make_step, data_root):
    step = make_step("misbehave", how="print")
    engine.run(step)
    log = next((data_root / "attempts/misbehave" / step.key).glob("*/output.log")).read_text()
    assert "a stray print on stdout" in log and "a line from C" in log


def test_what_a_child_leaves_behind_is_killed_with_its_group(engine, make_step, data_root):
    engine.run(make_step("misbehave", how="orphan"))
    assert not alive(int((data_root / "orphan.pid").read_text()))


def test_supervised_kills_live_children_at_once(engine, make_step, data_root):
    step = make_step("count", items=2, shards=2, seconds_per_shard=60)
    outcome = []

    def work():
        try:
            engine.run_shards(step, [0, 1])
        except StageCancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    with pytest.raises(KeyboardInterrupt), launcher.supervised():
        thread.start()
        while not any(event["event"] == "started" for event in engine.events):
            time.sleep(0.02)
        pid = next(event["pid"] for event in engine.events if event["event"] == "started")
        raise KeyboardInterrupt
    thread.join(5)
    assert outcome and not alive(pid)
    with launcher.supervised():
        pass  # the flag is cleared for the next run


def test_child_dies_when_its_parent_is_killed(data_root, extra_stages, make_step):
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from core import keys; from core.contract import load_spec; from core.devices import Device\n"
        "from core.engine import Engine; from core.graph import Graph; from core.store import Store\n"
        "root = Path(sys.argv[2]); spec = load_spec('count')\n"
        "step = Graph(keys.FileDigests(root / 'd.json')).add('count', spec.Request(items=2, shards=1, seconds_per_shard=60))\n"
        "show = lambda step, event: print(event.get('pid', ''), flush=True)\n"
        "Engine(Store(root), [Device('cpu', 0, 'cpu-0', 'x', 9000)], observe=show).run_shards(step, [0])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(ROOT), str(data_root)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_two_engines_on_the_same_work_do_it_once(engine, make_step, data_root):
    step = make_step("count", items=8, shards=4, seconds_per_shard=0.1)
    other = Engine(engine.store, engine.devices, lease_folder=engine.lease_folder)
    threads = [threading.Thread(target=do_all, args=(one, step)) for one in (engine, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(shard) for shard, _, _ in work_log(data_root)) == [0, 1, 2, 3]
    assert engine.store.done("count", step.key).result["items"] == 8


def test_forced_step_is_done_again_and_the_old_output_is_kept_aside(engine, make_step, data_root):
    step = make_step("misbehave")
    engine.run(step)
    forget(engine.store, step)
    assert engine.store.done("misbehave", step.key) is None
    engine.run(step)
    assert len(list((data_root / "attempts/misbehave" / step.key).iterdir())) == 2


def test_folder_without_done_record_is_not_data(engine, make_step, data_root):
    step = make_step("misbehave")
    engine.run(step)
    (data_root / step.output / "done.json").unlink()
    assert engine.store.done("misbehave", step.key) is None
    assert engine.run(step).result == {"fine": True}, "done again; the unrecorded folder was set aside"


def test_step_whose_input_is_unfinished_is_refused(engine, make_step, data_root):
    from core.graph import Graph, Step
    from core.keys import FileDigests

    first = make_step("count", items=3, shards=1)
    graph = Graph(FileDigests(data_root / "digests.json"))
    graph.add("count", first.request)
    second: Step = graph.add("count", type(first.request)(items=4, shards=1, before=first.output))
    with pytest.raises(ValueError, match="input is not finished"):
        engine.run(second)


@pytest.mark.parametrize("moment", ["write_json", "rename_folder", "tidy"])
def test_kill_at_any_moment_of_publishing_loses_no_shard(engine, make_step, data_root, monkeypatch, moment):
    from core import atomic, store

    step = make_step("count", items=6, shards=3)
    engine.run_shards(step, [0, 1, 2])

    class Killed(BaseException):
        pass

    def kill(*arguments, **named):
        if moment != "write_json" or arguments[0].name == store.DONE:
            raise Killed
        return write(*arguments, **named)

    write = atomic.write_json
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(store.Store if moment == "tidy" else atomic, moment, kill)
        engine.run(step)
    assert engine.run(step).result["items"] == 6
    assert len(work_log(data_root)) == 3, "no shard was done twice"
    assert {path.name for path in (data_root / step.output).iterdir()} == {"items.json", "result.json", "done.json"}
