import pytest

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.stratify.spec import Request, Settings
from tasks.stratify.stage import allot, allot_published, run


def dataset(root, sizes):
    rows = [
        manifest.row(manifest.clip_id(label, split, i), f"x/{label}{split}{i}.wav", "gold", label=label, split=split)
        for label, size in sizes.items() for split, count in (("train", size), ("val", 3), ("test", 3)) for i in range(count)
    ]  # fmt: skip
    manifest.write(root / "stages/prepare/aa", manifest.frame(rows))


def draw(root, n, seed=0, **settings):
    output = root / f"out-{n}-{seed}-{len(list(root.iterdir()))}"
    output.mkdir()
    request = Request("stages/prepare/aa", n, seed, Settings(**settings))
    return run(request, Context(output, root, emit=lambda kind, values: None)), manifest.read(output)


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


def test_published_sizes_miss_the_number_asked_for_and_the_result_says_so(tmp_path):
    dataset(tmp_path, {"a": 70, "b": 20, "c": 9, "d": 1})
    result, table = draw(tmp_path, 50, published_sizes=True)
    # int(70/2), int(20/2), int(9/2), max(1, int(1/2)): what the truncation takes from c, the rare class's minimum gives to d.
    assert result.per_class == {"a": 35, "b": 10, "c": 4, "d": 1} and result.requested == 50 and result.drawn == len(table) == 50
    assert draw(tmp_path, 25, published_sizes=True)[0].drawn == 17 + 5 + 2 + 1
    _, exact = draw(tmp_path, 25)
    assert len(exact) == 25


@pytest.mark.parametrize("separator", [";", ","])
def test_multi_label_clips_are_drawn_at_random_without_regard_to_their_labels(tmp_path, separator):
    dataset(tmp_path, {separator.join(["dog", "rain"]): 30, f"rain {separator} wind": 30, "bird": 1, "wind": 39})
    result, table = draw(tmp_path, 40, label_separator=separator)
    assert result.drawn == len(table) == 40 and set(table["split"]) == {"train"}
    assert list(result.per_class) == ["bird", "dog", "rain", "wind"], "labels are counted one by one"
    assert result.per_class["rain"] == int(table["label"].str.contains("rain").sum())
    drawn = [set(draw(tmp_path, n, seed, label_separator=separator)[1]["clip_id"]) for n, seed in ((40, 0), (60, 0), (40, 1))]
    assert drawn[0] == set(table["clip_id"]) < drawn[1] and drawn[2] != drawn[0]
    hits = [draw(tmp_path, 40, seed, label_separator=separator)[0].per_class["bird"] for seed in range(30)]
    assert 4 <= sum(hits) <= 21, "a rare label is not forced in: 40 of 100 clips, so 12 of 30 draws on average"


def test_published_sizes_do_not_go_with_several_labels_a_clip():
    with pytest.raises(InvalidValueError, match="published_sizes"):
        Settings(label_separator=";", published_sizes=True)


def test_published_rule_truncates():
    counts = {"a": 7, "b": 2, "c": 1}
    assert allot_published(counts, 5) == {"a": 3, "b": 1, "c": 1}
    assert allot_published(dict.fromkeys("abc", 10), 10) == {"a": 3, "b": 3, "c": 3}
    assert sum(allot(dict.fromkeys("abc", 10), 10).values()) == 10
