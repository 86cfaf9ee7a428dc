import itertools

import pytest

from core.rows import shard_rows


@pytest.mark.parametrize(("rows", "shards"), [(10, 3), (2, 5), (0, 2), (7, 1)])
def test_shards_are_the_rows_in_order_and_differ_by_one_at_most(rows, shards):
    ranges = shard_rows(rows, shards)
    assert list(itertools.chain(*ranges)) == list(range(rows))
    assert len(ranges) == shards and max(map(len, ranges)) - min(map(len, ranges)) <= 1
