import numpy as np
import pytest

from core import shards


def test_equal_shards_are_spread_evenly_and_none_twice():
    groups = shards.deal(list(range(11)), [1.0] * 11, 4)
    assert sorted(len(group) for group in groups) == [2, 3, 3, 3]
    assert sorted(number for group in groups for number in group) == list(range(11))
    assert shards.deal([], [], 4) == [] and shards.deal([7], [1.0] * 8, 4) == [[7]]


def test_long_shards_come_first_and_the_load_is_within_grahams_bound():
    rng = np.random.default_rng(0)
    for _ in range(50):
        costs = [float(value) for value in rng.exponential(size=20)]
        groups = shards.deal(list(range(20)), costs, 4)
        for group in groups:
            assert [costs[number] for number in group] == sorted((costs[number] for number in group), reverse=True)
        longest = max(sum(costs[number] for number in group) for group in groups)
        best_possible = max(sum(costs) / 4, max(costs))
        assert longest <= 4 / 3 * best_possible + max(costs) / 3


def test_costs_come_from_the_stage(make_step, extra_stages):
    step = make_step("count", items=4, shards=4, long_shard=2)
    assert shards.costs(step) == [1.0, 1.0, 10.0, 1.0]
    from tasks.count import spec

    spec.shard_costs, kept = (lambda request: [1.0]), spec.shard_costs
    try:
        with pytest.raises(ValueError, match="one per shard"):
            shards.costs(step)
    finally:
        spec.shard_costs = kept


def test_number_of_devices_is_a_runtime_setting_of_request_or_settings(make_step, extra_stages):
    assert shards.wanted_devices(make_step("count").request) == 1
    assert shards.wanted_devices(make_step("ranks", num_devices=3).request) == 3
    assert make_step("ranks", num_devices=3).key == make_step("ranks", num_devices=1).key
