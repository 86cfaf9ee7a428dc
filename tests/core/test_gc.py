"""Removal of what nobody needs, on a real store: what is kept, locked, published or outside stays, and what goes can be made again."""

import json
import os
import time

import pytest

from cli import gc as command
from cli import plan
from core import disk, gc, runs
from core.graph import Graph
from core.keys import FileDigests
from core.store import Store


@pytest.fixture
def world(data_root, engine, make_step):
    """Two finished runs of the toy stage: the older one of two steps, the newer one of one."""
    count = make_step("count", items=1, shards=1).request

    class World:
        root, store = data_root, Store(data_root)

        def graph(self, items, after=False):
            graph = Graph(FileDigests(data_root / "digests.json"))
            first = graph.add("count", type(count)(items=items, shards=1))
            if after:
                graph.add("count", type(count)(items=items, shards=1, before=first.output))
            return graph

        def run(self, run_id, graph, days_ago, state="completed", **extra):
            for step in graph:
                engine.run_shards(step, [0])
                engine.run(step)
            steps = [{"label": step.label, "stage": step.stage.name, "output": step.output} for step in graph]
            then = time.time() - days_ago * 86400
            record = runs.Run(run_id, "toy", "t", "./run.sh toy", then, steps, steps[-1]["output"], state, then + 1, extra=extra)
            runs.save(data_root, record)
            return [step.output for step in graph]

    return World()


@pytest.fixture
def two(world):
    world.old, world.new = world.graph(3, after=True), world.graph(5)
    return world, world.run("2026-1", world.old, 90), world.run("2026-2", world.new, 1)


def states(world, graph):
    return [step.state for step in plan.plan(graph, world.store)]


def test_what_no_kept_run_needs_goes_and_the_kept_run_is_still_up_to_date(two):
    world, old, new = two
    gone = {item.path for item in gc.remove(world.root, days=0, keep_runs=1)}
    assert gone == {*old, *(output.replace("stages", "attempts") for output in old)}
    assert states(world, world.new) == ["up to date"] and states(world, world.old) == ["run", "run"]
    assert sorted(path.name for path in (world.root / "stages/count").iterdir()) == [path.rsplit("/", 1)[1] for path in new]
    assert runs.load(world.root, "2026-1").command == "./run.sh toy", "the record says what makes it again"
    world.run("2026-3", world.old, 0)
    assert states(world, world.old) == ["up to date", "up to date"]


def test_looking_changes_nothing_and_says_what_would_be_won(two):
    world, old, _ = two
    before = sorted(world.root.rglob("*"))
    state = command.collect(days=0, keep_runs=1)
    assert sorted(world.root.rglob("*")) == before and not state["removed"]
    assert {row["path"] for row in state["goes"] if row["kind"] == "output"} == set(old)
    free = os.statvfs(world.root)
    assert 0 < state["frees"] < free.f_blocks * free.f_frsize
    by_run = {row["run"]: row for row in state["by_run"]}
    assert by_run["2026-1"]["alone_bytes"] == by_run["2026-1"]["bytes"] > 0 and by_run["2026-2"]["kept"] == "is one of the newest"
    assert "--yes removes them" in command.as_text(state) and "count" in command.as_text(state)
    done = command.collect(days=0, keep_runs=1, yes=True)
    assert "a run that asks for them makes them again" in command.as_text(done)
    assert "nothing to remove" in command.as_text(command.collect(days=0, keep_runs=1))


def test_young_runs_and_young_folders_of_no_run_stay(two, engine):
    world, _, new = two
    stray = world.graph(7)
    for step in stray:
        engine.run_shards(step, [0])
        engine.run(step)
    assert gc.remove(world.root, days=100, keep_runs=0) == []
    kept = gc.needed(world.root, 30, 0).kept
    assert kept == {"2026-2": "is young"}
    # Everything was made a moment ago: with thirty days nothing goes although no kept run leads to it.
    assert gc.remove(world.root, days=30, keep_runs=0) == []
    week = time.time() - 8 * 86400
    for folder in [world.root / step.output for step in stray]:
        for path in (folder, *folder.iterdir()):
            os.utime(path, (week, week))
    assert [item.path for item in gc.remove(world.root, days=7, keep_runs=0)] == [step.output for step in stray]
    assert (world.root / new[0]).exists()


def test_a_running_run_keeps_its_work_and_a_dead_one_does_not(world):
    outputs = world.run("2026-1", world.graph(3), 5, state="running", pid=os.getpid())
    assert gc.remove(world.root, days=0, keep_runs=0) == []
    world.run("2026-1", world.graph(3), 5, state="running", pid=2**22 + 1)
    beat = world.root / "runs/2026-1/heartbeat"
    beat.write_text("1\n")
    assert gc.remove(world.root, days=0, keep_runs=0) == [], "its process is on another host, and the heartbeat goes on"
    os.utime(beat, (time.time() - 3600, time.time() - 3600))
    assert outputs[0] in {item.path for item in gc.remove(world.root, days=0, keep_runs=0)}


def test_a_locked_half_done_folder_stays_and_an_abandoned_one_goes(world):
    step = next(iter(world.graph(9)))
    partial = world.store.partial("count", step.key)
    partial.mkdir(parents=True)
    (partial / "half").write_bytes(bytes(5000))
    for part in ("whole", "0003"):  # by the step's child, and by a child of one shard
        with world.store.locked("count", step.key, part):
            assert gc.remove(world.root, days=0, keep_runs=0) == [] and (partial / "half").exists()
            assert "is being worked on" in command.as_text(command.collect(days=0, keep_runs=0))
    assert [item.kind for item in gc.remove(world.root, days=0, keep_runs=0)] == [gc.PARTIAL] and not partial.exists()


def test_a_kept_run_that_failed_can_be_resumed(world):
    graph = world.graph(9)
    step = next(iter(graph))
    world.store.partial("count", step.key).mkdir(parents=True)
    steps = [{"label": step.label, "stage": "count", "output": step.output}]
    runs.save(world.root, runs.Run("2026-1", "toy", "t", "c", time.time(), steps, step.output, "failed", time.time()))
    assert gc.remove(world.root, days=0, keep_runs=1) == [] and states(world, graph) == ["run"]


def test_what_was_set_aside_goes_once_it_is_replaced(two):
    world, _, new = two
    aside = world.store.set_aside(world.root / new[0])
    assert [item.path for item in gc.remove(world.root, days=30, keep_runs=2)] == [], "a kept run needs it, and nothing replaces it yet"
    world.run("2026-2", world.new, 1)
    assert [item.kind for item in gc.remove(world.root, days=30, keep_runs=2)] == [gc.ASIDE] and not aside.exists()
    assert (world.root / new[0]).exists()


def test_a_kill_in_between_leaves_what_the_next_call_removes(two, monkeypatch):
    world, _, _ = two
    with monkeypatch.context() as patch:
        patch.setattr(gc.shutil, "rmtree", lambda path, **options: None)  # killed before anything is removed
        gc.remove(world.root, days=0, keep_runs=1)
    left = [path for path in (world.root / "stages/count").iterdir() if "unrecorded" in path.name]
    assert len(left) == 2 and states(world, world.old) == ["run", "run"] and states(world, world.new) == ["up to date"]
    gc.remove(world.root, days=0, keep_runs=1)
    assert not any(path.exists() for path in left)


def test_a_large_disk_is_not_waited_for(two):
    world, _, _ = two
    assert command.by_kind(world.root) == (command.by_kind(world.root)[0], True)
    sizes, all_of_it = command.by_kind(world.root, limit_s=-1.0)
    assert not all_of_it and sizes["stages"] < command.by_kind(world.root)[0]["stages"]


def test_what_a_published_version_was_made_of_stays(two):
    world, old, _ = two
    version = world.root / "published/mine/0123456789ab"
    version.mkdir(parents=True)
    (version / "version.json").write_text(json.dumps({"sources": [old[1]]}))
    (version.parent / "current").symlink_to(version.name)
    gc.remove(world.root, days=0, keep_runs=1)
    assert states(world, world.old) == ["up to date", "up to date"], "its sources and what they were made from"
    assert (version / "version.json").exists()
    (version / "version.json").write_text("{")
    with pytest.raises(ValueError, match="verify"):
        gc.remove(world.root, days=0, keep_runs=0)
    assert (world.root / old[0]).exists(), "nobody knows what it needs"


def test_links_are_not_followed_and_strangers_are_left_alone(two, tmp_path):
    world, old, new = two
    outside = tmp_path / "outside"
    (outside / ("a" * 20)).mkdir(parents=True)
    (outside / ("a" * 20) / "precious").write_bytes(bytes(1_000_000))
    (world.root / "stages/linked").symlink_to(outside)
    (world.root / "stages/count" / ("b" * 20)).symlink_to(outside / ("a" * 20))
    (world.root / old[0] / "link").symlink_to(outside)
    (world.root / "stages/count/notes").mkdir()
    (world.root / "exports/mine").mkdir(parents=True)
    assert disk.of([world.root / old[0]]).total < 1_000_000
    gone = {item.path for item in gc.remove(world.root, days=0, keep_runs=0)}
    assert {*old, *new} <= gone and not any("linked" in path or "bbb" in path or "notes" in path for path in gone)
    assert (outside / ("a" * 20) / "precious").exists() and (world.root / "stages/count/notes").exists()
    assert (world.root / "exports/mine").exists()


def test_a_file_with_two_names_is_won_only_when_both_go(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/clip").write_bytes(bytes(100_000))
    os.link(tmp_path / "a/clip", tmp_path / "b/clip")
    one, both = disk.of([tmp_path / "a"]), disk.of([tmp_path / "a", tmp_path / "b"])
    assert one.total >= 100_000 > one.freed and both.freed == both.total < 200_000


def test_caches_go_only_when_asked_and_downloads_never(world):
    for name in ("numba", "huggingface"):
        (world.root / "cache" / name).mkdir(parents=True)
    assert gc.remove(world.root, days=0, keep_runs=0) == []
    assert [item.path for item in gc.remove(world.root, days=0, keep_runs=0, caches=True)] == ["cache/numba"]
    assert (world.root / "cache/huggingface").exists()


def test_no_run_begins_while_it_is_decided(world):
    import threading

    record = runs.Run("2026-9", "toy", "t", "c", time.time(), [], "stages/report/x")
    with runs.none_begins(world.root):
        thread = threading.Thread(target=runs.save, args=(world.root, record))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and runs.ids(world.root) == []
    thread.join(5)
    assert runs.ids(world.root) == ["2026-9"]


def test_a_damaged_record_stops_it(world):
    outputs = world.run("2026-1", world.graph(3), 90)
    (world.root / "runs/2026-1/run.json").write_text("{")
    with pytest.raises(ValueError, match="nobody knows what this run needs"):
        gc.remove(world.root, days=0, keep_runs=0)
    assert (world.root / outputs[0]).exists()
