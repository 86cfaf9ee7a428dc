import pandas as pd
import pytest

from core import manifest
from core.errors import InvalidValueError


def rows(count=3):
    return [manifest.row(f"{i:016x}", f"stages/x/{i}.wav", "gold", label="a b,c", scores={"s": i / 3}, parents=["p"]) for i in range(count)]


def test_round_trip_keeps_every_cell(tmp_path):
    manifest.write(tmp_path, manifest.frame(rows()))
    back = manifest.read(tmp_path)
    assert list(back.columns) == list(manifest.COLUMNS)
    assert back.to_dict("records") == rows()


def test_same_rows_same_bytes_and_digest_ignores_the_order(tmp_path):
    table = manifest.frame(rows())
    for name in ("a.parquet", "b.parquet"):
        manifest.write(tmp_path / name, table)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert manifest.digest(table) == manifest.digest(table.iloc[::-1])
    changed = table.assign(label="other")
    assert manifest.digest(changed) != manifest.digest(table)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.wav", "a/../../x.wav"])
def test_paths_that_leave_the_root_are_refused(path):
    with pytest.raises(InvalidValueError, match="leaves the data root"):
        manifest.row("0", path, "gold")


def test_unknown_columns_splits_statuses_and_double_ids_are_refused(tmp_path):
    for bad in ({"colour": 1}, {"split": "training"}, {"status": "ok"}):
        with pytest.raises(InvalidValueError):
            manifest.row("0", "x.wav", "gold", **bad)
    with pytest.raises(InvalidValueError, match="occurs twice"):
        manifest.write(tmp_path, manifest.frame([*rows(1), *rows(1)]))


def test_foreign_parquet_is_refused(tmp_path):
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(InvalidValueError, match="unknown manifest version"):
        manifest.read(tmp_path)


def test_empty_manifest_is_a_manifest(tmp_path):
    manifest.write(tmp_path, manifest.frame([]))
    assert len(manifest.read(tmp_path)) == 0


def test_clips_of_other_splits_are_refused_by_name_and_train_clips_pass():
    splits = {"a": "train", "b": "val", "c": "train", "d": "test", "e": ""}
    table = manifest.frame([manifest.row(name, f"{name}.wav", "gold", split=split) for name, split in splits.items()])
    with pytest.raises(
        InvalidValueError, match=r"some\.clips: clips that are not train clips.*train.*\{'b': 'val', 'd': 'test', 'e': ''\}"
    ):
        manifest.require_train(table, "some.clips")
    for passed in (table[table["split"] == "train"], manifest.frame([])):
        assert manifest.require_train(passed, "some.clips") is None
    rejected = manifest.frame([manifest.row("f", "f.wav", "gold", split="val", status="rejected", reason="silent")])
    with pytest.raises(InvalidValueError, match="not train clips"):
        manifest.require_train(rejected, "some.clips")


def test_only_the_first_clips_of_other_splits_are_named():
    table = manifest.frame([manifest.row(f"{number:02d}", "x.wav", "gold", split="val") for number in range(30)])
    with pytest.raises(InvalidValueError, match="'04': 'val'") as caught:
        manifest.require_train(table, "x")
    assert "'05'" not in str(caught.value)


def test_ancestors_are_each_named_once_nearest_first_and_a_circle_ends():
    parents = {"c": ["a", "b", "a"], "a": ["root"], "b": ["root", "c"], "root": ["root"]}
    assert manifest.ancestors("c", lambda clip: parents.get(clip, ())) == ["c", "a", "b", "root"]
    assert manifest.ancestors("alone", lambda clip: parents.get(clip, ())) == ["alone"]


def test_clips_that_are_held_out_or_made_from_such_are_refused():
    table = pd.DataFrame({"clip_id": ["s", "t"], "parents": [["g"], ["v"]]})
    manifest.refuse_leaks(table, {"x"}, "leak", "here")
    for held_out, named in (({"v"}, "t"), ({"s"}, "s")):
        with pytest.raises(InvalidValueError, match=rf"here: leak.*\['{named}'\].*mend it"):
            manifest.refuse_leaks(table, held_out, "leak", "here", "mend it")
