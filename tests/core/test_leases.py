import subprocess
import sys
import threading
import time

import pytest

from core import leases
from core.contract import Stage
from core.devices import Device, cpu_devices, discover, slots, visible
from core.errors import InvalidValueError, StageTimeout


def stage(**values):
    return Stage(**{"name": "s", "environment": "e", "version": 1, "memory_mb": 1000, "time_limit_s": 1, **values})


def gpu(index, free=40_000):
    return Device("cuda", index, f"GPU-{index:04d}", "card", free)


def cpu(index, free=16_000):
    return Device("cpu", index, f"cpu-{index}", "core", free)


def test_slots_per_gpu_follow_free_memory_and_a_cap():
    assert slots([gpu(0, 10_000)], stage(uses_gpu=True, memory_mb=4_000)) == [["GPU-0000-0"], ["GPU-0000-1"]]
    assert len(slots([gpu(0), gpu(1)], stage(uses_gpu=True, memory_mb=1_000))) == 8
    assert len(slots([gpu(0, 100)], stage(uses_gpu=True, memory_mb=4_000))) == 1, "never none: the child may still fit"


def test_stage_without_gpu_use_takes_cores():
    assert all(name.startswith("cpu-") for names in slots([gpu(0)], stage()) for name in names)


def test_wide_children_take_several_cores_and_memory_limits_their_number():
    cores = [cpu(index) for index in range(4)]
    assert slots(cores, stage(cpu_threads=2)) == [["cpu-0", "cpu-1"], ["cpu-2", "cpu-3"]]
    assert slots(cores[:1], stage(cpu_threads=8)) == [["cpu-0"]]
    assert len(slots([cpu(index, 5_000) for index in range(4)], stage(memory_mb=2_000))) == 2


def test_visible_devices_follow_cudas_rule():
    cards = [gpu(0), gpu(1), gpu(2)]
    assert [card.index for card in visible(cards, "2,0")] == [2, 0]
    assert [card.index for card in visible(cards, "GPU-0001")] == [1]
    assert visible(cards, "") == [] and visible(cards, "-1") == []
    assert [card.index for card in visible(cards, "1,7,0")] == [1]
    assert visible(cards, None) == cards


def test_unknown_device_is_refused_with_those_there_are():
    with pytest.raises(InvalidValueError, match="no such device"):
        discover("cuda:99")
    assert [device.label for device in discover("cpu")] == [device.label for device in cpu_devices()]


def test_lease_is_exclusive_and_comes_back(tmp_path):
    with leases.acquire([["a"]], tmp_path) as held:
        assert held.slots == ["a"]
        with pytest.raises(StageTimeout, match="no device slot"):
            leases.acquire([["a"]], tmp_path, timeout_s=0.2)
        with leases.acquire([["a"], ["b"]], tmp_path) as other:
            assert other.slots == ["b"]
    leases.acquire([["a"]], tmp_path, timeout_s=0.2).release()


def test_all_or_nothing_for_wide_leases(tmp_path):
    with leases.acquire([["b"]], tmp_path):
        with pytest.raises(StageTimeout):
            leases.acquire([["a", "b"]], tmp_path, timeout_s=0.2)
        leases.acquire([["a"]], tmp_path, timeout_s=0.2).release()


def test_slot_is_taken_for_as_long_as_the_child_lives(tmp_path):
    lease = leases.acquire([["a"]], tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=lease.descriptors)
    lease.release()  # what happens when the parent is killed: its own descriptors close
    with pytest.raises(StageTimeout):
        leases.acquire([["a"]], tmp_path, timeout_s=0.3)
    child.kill()
    child.wait()
    leases.acquire([["a"]], tmp_path, timeout_s=2).release()


def test_never_more_holders_than_slots(tmp_path):
    holding, most, lock = [0], [0], threading.Lock()

    def work():
        with leases.acquire([["a"], ["b"]], tmp_path):
            with lock:
                holding[0] += 1
                most[0] = max(most[0], holding[0])
            time.sleep(0.03)
            with lock:
                holding[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2
