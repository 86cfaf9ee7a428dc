"""Out of memory, lost devices, cancelled waiting: real children on faked device lists."""

import json
import threading
import time

import pytest

from core import devices, launcher, leases
from core.devices import Device
from core.engine import Engine
from core.errors import StageCancelled, StageCrashed


def fake_gpu(index):
    return Device("cuda", index, f"GPU-fake-{index}", "fake card", 8000, 8000)


@pytest.fixture
def cards(monkeypatch):
    """Two faked GPUs that NVML shows until a test takes one away."""
    present = [fake_gpu(0), fake_gpu(1)]
    monkeypatch.setattr(devices, "cuda_devices", lambda: list(present))
    return present


@pytest.fixture
def gpu_engine(engine, cards):
    made = Engine(engine.store, list(cards), observe=engine.observe)
    made.events = engine.events
    return made


def messages(engine):
    return [event["message"] for event in engine.events if event["event"] == "log"]


def requests(data_root, step):
    paths = sorted((data_root / "attempts/count" / step.key).glob("*/request.json"))
    return [json.loads(path.read_text())["batch_size"] for path in paths]


def test_out_of_memory_halves_the_batch_once_for_that_shard_only(engine, make_step, data_root):
    step = make_step("count", items=12, shards=4, memory_shard=1, fits=4, batch_size=8)
    engine.run_shards(step, [0, 1, 2, 3])
    assert engine.store.done_shards("count", step.key) == [0, 1, 2, 3]
    assert requests(data_root, step) == [8, 4, 8], "all shards, the one that failed with half the batch, the rest as they were"
    assert any("half the batch" in message for message in messages(engine))
    assert engine.run(step).result["items"] == 12


def test_shard_that_does_not_fit_fails_alone(engine, make_step):
    step = make_step("count", items=12, shards=4, memory_shard=1, fits=1, batch_size=8)
    with pytest.raises(launcher.OutOfDeviceMemory, match="batch of 4 in shard 1"):
        engine.run_shards(step, [0, 1, 2, 3])
    assert engine.store.done_shards("count", step.key) == [0, 2, 3]
    assert engine.shard_groups(step) == [[1]]


def test_children_see_only_their_leased_card(gpu_engine, make_step, data_root):
    (data_root / "seenGPU-fake-1").write_text("")
    step = make_step("count", items=4, shards=2, crash_without="seen")
    only_second = Engine(gpu_engine.store, [fake_gpu(1)], observe=gpu_engine.observe)
    assert only_second.run(step).usage["gpu_s"] > 0


def test_device_that_disappears_gives_its_shards_to_another(gpu_engine, cards, make_step, data_root):
    (data_root / "aliveGPU-fake-1").write_text("")  # card 0 crashes every child
    step = make_step("count", items=9, shards=3, crash_without="alive")
    del cards[0]  # and NVML shows it no more
    gpu_engine.run_shards(step, [0, 1, 2])
    assert gpu_engine.store.done_shards("count", step.key) == [0, 1, 2]
    assert any("GPU-fake-0 disappeared" in message and "cuda:1" in message for message in messages(gpu_engine))


def test_crash_on_a_card_that_is_still_there_is_a_crash(gpu_engine, make_step):
    with pytest.raises(StageCrashed, match="exit code 9"):
        gpu_engine.run_shards(make_step("count", items=9, shards=3, crash_without="alive"), [0, 1, 2])


def test_two_gpus_work_at_the_same_time_and_long_shards_first(gpu_engine, make_step):
    step = make_step("count", items=40, shards=10, long_shard=7)
    gpus_each_four = 8
    assert gpu_engine.parallel(step) == gpus_each_four
    groups = gpu_engine.shard_groups(step)
    assert groups[0] == [7] and sorted(shard for group in groups for shard in group) == list(range(10))


def test_cancelled_run_stops_waiting_for_a_device_and_for_another_runs_lock(engine, make_step):
    stop = threading.Event()
    waiting = Engine(engine.store, engine.devices, stop=stop.is_set)
    step = make_step("count", items=2, shards=1)
    places = devices.choices(engine.devices, step.stage)
    outcome = []

    def work():
        try:
            waiting.run(step)
        except StageCancelled as error:
            outcome.append(str(error))

    everything = leases.Choice("cpu", (leases.Pool(places[0].pools[0].names, 2),))
    for hold in (lambda: leases.acquire([everything]), lambda: engine.store.locked("count", step.key)):
        stop.clear()
        with hold():
            thread = threading.Thread(target=work)
            thread.start()
            time.sleep(0.3)
            stop.set()
            thread.join(5)
            assert not thread.is_alive()
    assert "waited for a device" in outcome[0] and "waited for another one" in outcome[1]


def test_stop_kills_a_running_child_within_seconds(engine, make_step):
    started = time.monotonic()
    stopping = Engine(engine.store, engine.devices, stop=lambda: time.monotonic() - started > 1.5)
    with pytest.raises(StageCancelled):
        stopping.run_shards(make_step("count", items=1, shards=1, seconds_per_shard=60), [0])
    assert time.monotonic() - started < 6


def test_costs_are_in_the_done_record(engine, make_step):
    usage = engine.run(make_step("count", items=20_000, shards=2)).usage
    assert usage["wall_s"] > 0 and usage["cpu_s"] > 0 and usage["peak_memory_mb"] > 5 and usage["gpu_s"] == 0
    assert usage["written_mb"] > 0.1 and usage["read_mb"] > 0.1


def test_no_secret_reaches_log_events_error_or_attempt(engine, make_step, data_root, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "canary-0123456789")
    step = make_step("misbehave", how="leak")
    with pytest.raises(Exception, match="secret removed") as caught:
        engine.run(step)
    assert "canary" not in str(caught.value) and "canary" not in json.dumps(engine.events)
    for path in data_root.rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path
