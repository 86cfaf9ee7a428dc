"""A training over several devices, through the engine: torchrun, gloo between real processes, leases on faked cards."""

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from core import devices, launcher, leases
from core.devices import Device
from core.engine import Engine
from core.errors import StageCancelled, StageCrashed, StageFailed, StageTimeout

CARDS = [Device("cuda", index, f"GPU-fake-{index}", "fake card", 8000, 8000) for index in range(2)]


def alive(pid):
    """A zombie counts as gone: it runs nothing and only waits to be reaped by its new parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def until(ask, what, limit_s=120):
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {limit_s} s")


def rank_pids(data_root):
    with contextlib.suppress(FileNotFoundError, ValueError):
        return [int((data_root / f"rank-{number}.pid").read_text()) for number in range(2)]


def all_gone(pids):
    return until(lambda: not any(alive(pid) for pid in pids), "the end of all ranks", 5)


class Running:
    """A step that runs in a thread, and how it ended."""

    def __init__(self, engine, step):
        self.outcome = None
        self._thread = threading.Thread(target=self._work, args=(engine, step))
        self._thread.start()

    def _work(self, engine, step):
        try:
            self.outcome = engine.run(step)
        except Exception as error:
            self.outcome = error

    def join(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.outcome


@pytest.fixture(autouse=True)
def nothing_stays(data_root):
    """Clear up after a failed test: its children, its orphans, and the flag that would cancel the next one's."""
    yield
    launcher.kill_all()
    for pid in rank_pids(data_root) or []:
        if str(data_root) in command_of(pid):
            os.kill(pid, signal.SIGKILL)
    with launcher.supervised():
        pass


def test_two_ranks_on_the_cpu_publish_one_result(engine, make_step, data_root):
    step = make_step("ranks", num_devices=2)
    done = engine.run(step)
    assert done.result == {"total": 3} and done.files.keys() == {"result.json"} and done.usage["gpu_s"] == 0
    kinds = [event["event"] for event in engine.events]
    assert kinds.count("started") == kinds.count("finished") == 1, "one rank speaks for all"
    assert len(set(rank_pids(data_root))) == 2
    seen = [json.loads((data_root / f"rank-{number}.json").read_text()) for number in range(2)]
    assert [part["LOCAL_RANK"] for part in seen] == ["0", "1"]
    assert all(part["device"] == "cpu" and not part["CUDA_VISIBLE_DEVICES"] and part["OMP_NUM_THREADS"] == "1" for part in seen)


def test_error_of_any_rank_fails_the_stage_and_publishes_nothing(engine, make_step, data_root):
    step = make_step("ranks", num_devices=2, fail_rank=1)
    with pytest.raises(StageFailed, match="RuntimeError: rank 1 was told to fail"):
        engine.run(step)
    assert not (data_root / step.output).exists() and engine.store.done("ranks", step.key) is None
    assert all_gone(rank_pids(data_root))


@pytest.mark.parametrize("deaf", [False, True])
def test_cancelled_run_leaves_no_rank_alive(engine, make_step, data_root, deaf):
    """Ranks are in sessions of their own, where the signal to the child's group does not reach them."""
    with pytest.raises(KeyboardInterrupt), launcher.supervised():
        running = Running(engine, make_step("ranks", num_devices=2, hang=True, deaf=deaf))
        pids = until(lambda: rank_pids(data_root), "the start of both ranks")
        assert all(alive(pid) for pid in pids)
        raise KeyboardInterrupt
    assert isinstance(running.join(), StageCancelled)
    assert all_gone(pids)
    assert leases.taken() == []


def test_killed_rank_ends_the_others(engine, make_step, data_root):
    running = Running(engine, make_step("ranks", num_devices=2, hang=True))
    pids = until(lambda: rank_pids(data_root), "the start of both ranks")
    os.kill(pids[1], signal.SIGKILL)
    assert isinstance(running.join(), StageCrashed)
    assert all_gone(pids)


def test_two_cards_are_leased_together_and_both_are_visible(engine, make_step, data_root, monkeypatch):
    monkeypatch.setattr(devices, "cuda_devices", lambda: list(CARDS))
    on_cards = Engine(engine.store, CARDS, observe=engine.observe)
    step = make_step("ranks", num_devices=2, hang=True)
    assert on_cards.parallel(step) == 4, "each card holds four, a training takes one place on both"
    first = next(choice for choice in devices.choices(CARDS, step.stage) if choice.place == "GPU-fake-0")
    everything = leases.Choice("GPU-fake-0", (leases.Pool(first.pools[0].names, len(first.pools[0].names)),))
    with leases.acquire([everything]):
        running = Running(on_cards, step)
        until(lambda: any(name.startswith("GPU-fake-1") for name in leases.taken()), "the lease of the free card")
        time.sleep(0.5)
        assert not list((data_root / "attempts").glob("ranks/*/*/request.json")) and not engine.events, (
            "it keeps the card it has, and does not start with that one alone"
        )
    pids = until(lambda: rank_pids(data_root), "the start of both ranks")
    cards = {name.rsplit("-", 1)[0] for name in leases.taken()}
    assert cards == {"GPU-fake-0", "GPU-fake-1"}
    for number in range(2):
        seen = json.loads((data_root / f"rank-{number}.json").read_text())
        assert seen["CUDA_VISIBLE_DEVICES"] == "GPU-fake-0,GPU-fake-1" and seen["LOCAL_RANK"] == str(number)
        assert seen["device"] == "cuda" and seen["WORLD_SIZE"] == "2"
    launcher.kill_all()
    assert isinstance(running.join(), StageCancelled)
    assert all_gone(pids) and leases.taken() == []


def test_more_devices_than_there_are_is_said_at_once(engine, make_step):
    with pytest.raises(StageTimeout, match="3 devices are needed at the same time, 2 are there"):
        Engine(engine.store, CARDS).run(make_step("ranks", num_devices=3))


def test_ranks_on_the_cpu_take_cores_and_memory_for_each(engine, make_step, monkeypatch):
    asked = []
    monkeypatch.setattr(devices, "choices", lambda found, stage, folder=None: asked.append(stage) or [])
    step = make_step("ranks", num_devices=2)
    with pytest.raises(StageTimeout):
        engine.run(step)
    assert asked[0].cpu_threads == 2 * step.stage.cpu_threads and asked[0].memory_mb == 2 * step.stage.memory_mb
