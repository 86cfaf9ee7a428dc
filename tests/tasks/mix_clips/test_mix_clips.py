import pytest

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.mix_clips import stage
from tasks.mix_clips.spec import Request, Source

PREPARED, NOISY, ROOMS = "stages/prepare/aa", "stages/augment/aa", "stages/spatialise/aa"


@pytest.fixture
def data_root(tmp_path):
    """A dataset of 8 train, 2 validation and 2 test clips; 6 noisy ones, one of them rejected; 4 in rooms."""
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    gold = [
        manifest.row(f"g{i}", f"{PREPARED}/{i}.wav", "gold", label="dog", split=split, duration_s=0.5) for i, split in enumerate(splits)
    ]
    manifest.write(tmp_path / PREPARED, manifest.frame(gold))
    made = [
        manifest.row(f"n{i}", f"{NOISY}/{i}.wav", "augment", label="dog", split="train", parents=[f"g{i}"], duration_s=0.5,
                     **({"status": "rejected", "reason": "silent"} if i == 5 else {}))
        for i in range(6)
    ]  # fmt: skip
    manifest.write(tmp_path / NOISY, manifest.frame(made))
    heard = [manifest.row(f"r{i}", f"{ROOMS}/{i}.wav", "spatialise", label="dog", split="train", parents=["g0"]) for i in range(4)]
    manifest.write(tmp_path / ROOMS, manifest.frame(heard))
    return tmp_path


def mixed(root, *sources, name="run", **settings):
    output = root / "stages/mix_clips" / name
    output.mkdir(parents=True, exist_ok=True)
    result = stage.run(Request(sources, **settings), Context(output, root, emit=lambda kind, values: None))
    return result, manifest.read(output)


def test_accepted_train_clips_of_all_sources_are_one_manifest_with_the_held_out_ones_beside(data_root):
    sources = Source("gold", (PREPARED,)), Source("noise", (NOISY,)), Source("rooms", (ROOMS, NOISY))
    result, table = mixed(data_root, *sources, evaluation=PREPARED, held_out=True)
    assert result.of_source == {"gold": 8, "noise": 5, "rooms": 4} and result.twice == 5 and result.held_out == 4
    assert table["split"].value_counts().to_dict() == {"train": 17, "val": 2, "test": 2}
    assert set(table["origin"]) == {"gold", "augment", "spatialise"} and "n5" not in set(table["clip_id"])
    assert set(mixed(data_root, *sources, evaluation=PREPARED)[1]["split"]) == {"train"}
    alone, table = mixed(data_root, sources[0])
    assert set(table["split"]) == {"train"} and len(table) == alone.clips == 8 and alone.seconds == 4.0


def test_weights_are_the_shares_of_the_largest_mixture_and_smaller_ones_are_part_of_it(data_root):
    def parts(*weights, **settings):
        names = ("gold", PREPARED), ("noise", NOISY), ("rooms", ROOMS)
        given = [Source(name, (folder,), weight) for (name, folder), weight in zip(names, weights, strict=False)]
        result, table = mixed(data_root, *given, **settings)
        return result, set(table["clip_id"])

    result, whole = parts(2.0, 1.0, 1.0)
    assert result.of_source == {"gold": 8, "noise": 4, "rooms": 4} and result.left_out == {"gold": 0, "noise": 1, "rooms": 0}
    few, some = parts(2.0, 1.0, 1.0, max_clips=8)
    assert few.of_source == {"gold": 4, "noise": 2, "rooms": 2} and some < whole
    _, other = parts(2.0, 1.0, 1.0, max_clips=8, seed=1)
    assert some != other, "the seed decides which"
    assert stage.sizes({"a": 100, "b": 3}, {"a": 1.0, "b": 1.0}, 0) == {"a": 3, "b": 3}
    assert stage.sizes({"a": 100, "b": 3}, {"a": 0.0, "b": 0.0}, 0) == {"a": 100, "b": 3}
    assert stage.sizes({"a": 100, "b": 3}, {"a": 1.0, "b": 1e-3}, 0) == {"a": 100, "b": 1}


def test_copies_of_held_out_clips_are_left_out(data_root):
    table = manifest.read(data_root / PREPARED)
    table["sha256"] = [f"bytes of {clip}" for clip in table["clip_id"]]
    manifest.write(data_root / PREPARED, table)
    pool = manifest.frame(
        [manifest.row(f"p{i}", f"pool/{i}.wav", "gold", split="train", sha256=f"bytes of g{i}" if i > 7 else "") for i in range(11)]
    )
    manifest.write(data_root / "stages/prepare/bb", pool)
    result, mixture = mixed(data_root, Source("pool", ("stages/prepare/bb",)), evaluation=PREPARED)
    assert (result.same_bytes, result.clips, result.twice) == (3, 8, 0) and set(mixture["clip_id"]) == {f"p{i}" for i in range(8)}
    assert mixed(data_root, Source("pool", ("stages/prepare/bb",)))[0].clips == 11
    with pytest.raises(InvalidValueError, match="held-out clips of what"):
        Request((Source("a", (NOISY,)),), held_out=True)


def test_a_leak_an_empty_source_and_unclear_weights_are_refused(data_root):
    table = manifest.read(data_root / ROOMS)
    table.at[0, "parents"] = ["g9"]
    manifest.write(data_root / ROOMS, table)
    with pytest.raises(InvalidValueError, match=r"descend from.*'r0'"):
        mixed(data_root, Source("rooms", (ROOMS,)), evaluation=PREPARED)
    assert mixed(data_root, Source("rooms", (ROOMS,)))[0].clips == 4, "without a dataset to leak from"
    table["status"] = "rejected"
    manifest.write(data_root / ROOMS, table)
    with pytest.raises(InvalidValueError, match="no train clips"):
        mixed(data_root, Source("rooms", (ROOMS,)))
    with pytest.raises(InvalidValueError, match="some without"):
        Request((Source("a", (NOISY,), 1.0), Source("b", (ROOMS,))))
    with pytest.raises(InvalidValueError, match="empty or twice"):
        Request((Source("a", (NOISY,)), Source("a", (ROOMS,))))
