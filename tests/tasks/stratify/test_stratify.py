import pytest

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.stratify.spec import Request
from tasks.stratify.stage import allot, allot_published, run


def dataset(root, sizes):
    rows = [
        manifest.row(manifest.clip_id(label, split, i), f"x/{label}{split}{i}.wav", "gold", label=label, split=split)
        for label, size in sizes.items() for split, count in (("train", size), ("val", 3), ("test", 3)) for i in range(count)
    ]  # fmt: skip
    manifest.write(root / "stages/prepare/aa", manifest.frame(rows))


def draw(root, n, seed=0, compat=False):
    output = root / f"out-{n}-{seed}-{compat}"
    output.mkdir()
    result = run(Request("stages/prepare/aa", n, seed, compat), Context(output, root, emit=lambda kind, values: None))
    return result, manifest.read(output)


def test_exact_size_every_class_and_train_clips_only(tmp_path):
    dataset(tmp_path, {"a": 70, "b": 20, "c": 9, "d": 1})
    result, table = draw(tmp_path, 50)
    assert len(table) == result.drawn == 50 and set(table["split"]) == {"train"} and table["clip_id"].is_unique
    assert result.per_class == table["label"].value_counts().sort_index().to_dict() and result.per_class["d"] == 1
    assert abs(result.per_class["a"] - 35) <= 1


def test_more_classes_than_clips_gives_one_each(tmp_path):
    dataset(tmp_path, dict.fromkeys("abcdef", 3))
    result, _ = draw(tmp_path, 4)
    assert result.drawn == 6 and set(result.per_class.values()) == {1}


def test_same_seed_same_clips_other_seed_other_clips_and_larger_draws_contain_smaller_ones(tmp_path):
    dataset(tmp_path, {"a": 40, "b": 40})
    small, large, other = (set(draw(tmp_path, n, seed)[1]["clip_id"]) for n, seed in ((10, 0), (30, 0), (10, 1)))
    assert small < large and small != other


def test_pool_that_is_too_small_is_named(tmp_path):
    dataset(tmp_path, {"a": 3})
    with pytest.raises(InvalidValueError, match="not enough train clips"):
        draw(tmp_path, 10)


def test_published_rule_truncates():
    counts = {"a": 7, "b": 2, "c": 1}
    assert allot_published(counts, 5) == {"a": 3, "b": 1, "c": 1}
    assert allot_published(dict.fromkeys("abc", 10), 10) == {"a": 3, "b": 3, "c": 3}
    assert sum(allot(dict.fromkeys("abc", 10), 10).values()) == 10
