import subprocess
import sys
import threading
import time

import pytest

from core import leases
from core.contract import Stage
from core.devices import Device, choices, cpu_devices, discover, parallel, visible
from core.errors import InvalidValueError, StageCancelled, StageTimeout

a, b, both = (leases.Choice(names, (leases.Pool(tuple(names), len(names)),)) for names in ("a", "b", "ab"))


def stage(**values):
    return Stage(**{"name": "s", "environment": "e", "version": 1, "memory_mb": 1000, "time_limit_s": 1, **values})


def gpu(index, free=40_000):
    return Device("cuda", index, f"GPU-{index:04d}", "card", free)


def cpu(index, free=16_000):
    return Device("cpu", index, f"cpu-{index}", "core", free)


def children(found, wanted, folder):
    """How many leases of a stage can be held at the same time, by taking them."""
    held = []
    try:
        while True:
            held.append(leases.acquire(choices(found, wanted, folder), folder, timeout_s=0))
    except StageTimeout:
        return len(held)
    finally:
        for lease in held:
            lease.release()


@pytest.mark.parametrize("memory_mb", [900, 2_999, 3_000, 3_600, 4_500, 4_501, 8_999, 9_000, 9_001, 50_000])
def test_slots_per_gpu_are_nine_tenths_of_free_memory_over_declared_memory_and_capped(tmp_path, memory_mb):
    wanted = stage(uses_gpu=True, memory_mb=memory_mb)
    expected = max(1, min(4, int(0.9 * 10_000 // memory_mb)))
    assert children([gpu(0, 10_000)], wanted, tmp_path) == expected == parallel([gpu(0, 10_000)], wanted)
    two = [gpu(0, 10_000), gpu(1, 10_000)]
    assert children(two, wanted, tmp_path) == 2 * expected == parallel(two, wanted)


def test_stages_of_different_size_share_a_gpu_without_being_promised_more_than_there_is(tmp_path):
    cards = [gpu(0, 10_000)]
    large, small = stage(uses_gpu=True, memory_mb=5_000), stage(uses_gpu=True, memory_mb=1_900)
    with leases.acquire(choices(cards, large, tmp_path), tmp_path):
        assert children(cards, large, tmp_path) == 0
        assert children(cards, small, tmp_path) == 2, "5000 + 2 × 1900 of 9000"
    assert children(cards, small, tmp_path) == 4


def test_memory_of_our_own_children_is_not_subtracted_twice_and_foreign_memory_is(tmp_path):
    wanted = stage(uses_gpu=True, memory_mb=4_000)
    before = Device("cuda", 0, "GPU-0000", "card", 10_000, 10_000)
    with leases.acquire(choices([before], wanted, tmp_path), tmp_path):
        after = Device("cuda", 0, "GPU-0000", "card", 6_000, 10_000)  # the child has allocated by now
        assert children([after], wanted, tmp_path) == 1
        foreign = Device("cuda", 0, "GPU-0000", "card", 1_500, 10_000)  # so has somebody else
        assert children([foreign], wanted, tmp_path) == 0


def test_stage_without_gpu_use_takes_cores(tmp_path):
    (choice,) = choices([gpu(0)], stage(), tmp_path)
    assert choice.place == "cpu" and all(name.startswith("cpu-") for name in choice.pools[0].names)


def test_wide_children_take_several_cores_and_memory_limits_their_number(tmp_path):
    cores = [cpu(index) for index in range(4)]
    assert children(cores, stage(cpu_threads=2), tmp_path) == 2 == parallel(cores, stage(cpu_threads=2))
    assert children(cores[:1], stage(cpu_threads=8), tmp_path) == 1 == parallel(cores[:1], stage(cpu_threads=8))
    little = [cpu(index, 5_000) for index in range(4)]
    assert children(little, stage(memory_mb=2_000), tmp_path) == 2 == parallel(little, stage(memory_mb=2_000))
    assert children(little, stage(memory_mb=90_000), tmp_path) == 1, "never none: it may still fit"


def test_several_devices_together_are_different_ones(tmp_path):
    cards = [gpu(0), gpu(1), gpu(2)]
    wanted = stage(uses_gpu=True, memory_mb=30_000)
    with leases.acquire(choices(cards, wanted, tmp_path), tmp_path, together=2) as lease:
        assert lease.places == ["GPU-0000", "GPU-0001"]
        with pytest.raises(StageTimeout):
            leases.acquire(choices(cards, wanted, tmp_path), tmp_path, together=2, timeout_s=0.2)
        with leases.acquire(choices(cards, wanted, tmp_path), tmp_path) as other:
            assert other.places == ["GPU-0002"]
    assert parallel(cards, wanted, together=2) == 1
    with pytest.raises(StageTimeout, match="4 devices are needed"):
        leases.acquire(choices(cards, wanted, tmp_path), tmp_path, together=4)
    assert leases.taken(tmp_path) == []


def test_who_waits_for_one_device_does_not_block_another(tmp_path):
    one, other = [gpu(0)], [gpu(1)]
    wanted = stage(uses_gpu=True, memory_mb=30_000)
    with leases.acquire(choices(one, wanted, tmp_path), tmp_path):
        waiter = threading.Thread(target=lambda: leases.acquire(choices(one, wanted, tmp_path), tmp_path, timeout_s=5).release())
        waiter.start()
        time.sleep(0.2)
        leases.acquire(choices([*one, *other], wanted, tmp_path), tmp_path, timeout_s=0.5).release()
    waiter.join()


def test_waiting_ends_when_the_run_is_cancelled(tmp_path):
    with leases.acquire([a], tmp_path), pytest.raises(StageCancelled):
        leases.acquire([a], tmp_path, stop=lambda: True)


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
    with leases.acquire([a], tmp_path) as held:
        assert held.slots == ["a"]
        with pytest.raises(StageTimeout, match="no device slot"):
            leases.acquire([a], tmp_path, timeout_s=0.2)
        with leases.acquire([a, b], tmp_path) as other:
            assert other.slots == ["b"]
    leases.acquire([a], tmp_path, timeout_s=0.2).release()


def test_all_or_nothing_for_wide_leases(tmp_path):
    with leases.acquire([b], tmp_path):
        with pytest.raises(StageTimeout):
            leases.acquire([both], tmp_path, timeout_s=0.2)
        leases.acquire([a], tmp_path, timeout_s=0.2).release()


def test_slot_is_taken_for_as_long_as_the_child_lives(tmp_path):
    lease = leases.acquire([a], tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=lease.descriptors)
    lease.release()  # what happens when the parent is killed: its own descriptors close
    with pytest.raises(StageTimeout):
        leases.acquire([a], tmp_path, timeout_s=0.3)
    child.kill()
    child.wait()
    leases.acquire([a], tmp_path, timeout_s=2).release()


def test_never_more_holders_than_slots(tmp_path):
    holding, most, lock = [0], [0], threading.Lock()

    def work():
        with leases.acquire([a, b], tmp_path):
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


def test_who_waits_is_heard_of(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "TOLD_EVERY_S", 0.1)
    told = []
    with leases.acquire([a], tmp_path), pytest.raises(StageTimeout):
        leases.acquire([a], tmp_path, timeout_s=0.5, waiting=lambda: told.append(1))
    assert 2 <= len(told) <= 5
    leases.acquire([a], tmp_path, waiting=lambda: told.append(2)).release()
    assert 2 not in told
