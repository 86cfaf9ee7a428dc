import csv
import json

import numpy as np
import pytest
import soundfile

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.prepare.spec import Request, Settings
from tasks.prepare.stage import run

RATE = 16000
LABELS = ["dog bark", 'he said "wuff", loudly', "clock_tick", "дождь", "雨"]


def tone(frequency, seconds=0.5):
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


class Dataset:
    """A root folder with a table; rows are added as (path, label, split)."""

    def __init__(self, folder):
        self.root = folder / "set"
        self.root.mkdir()
        self.output = folder / "data" / "stages" / "prepare" / "aa"
        self.output.mkdir(parents=True)
        self.data_root = folder / "data"
        self.rows = []

    def sound(self, name, samples, label="a", split="train", **options):
        soundfile.write(self.root / name, samples, options.pop("rate", RATE), **options)
        self.rows.append((name, label, split))

    def run(self, header=("path", "label", "split"), text=None, **settings):
        table = self.root / "clips.csv"
        if text is None:
            with table.open("w", newline="", encoding="utf-8") as handle:
                csv.writer(handle).writerows([header, *self.rows])
        else:
            table.write_text(text)
        options = {"split_column": "split", "max_reject_fraction": 1.0, **settings}
        context = Context(self.output, self.data_root, final="stages/prepare/aa", emit=lambda kind, values: None)
        return run(Request(str(table), str(self.root), Settings(**options)), context)

    def table(self):
        return manifest.read(self.output)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


def test_good_rows_come_through_with_their_labels_and_rates(dataset):
    for number, label in enumerate(LABELS):
        dataset.sound(f"{number}.wav", tone(200 + 50 * number), label, ("train", "val", "test")[number % 3])
    dataset.sound("wide.wav", np.stack([tone(300)] * 6, axis=1), "wide", "train", subtype="PCM_24")
    dataset.sound("eight.wav", tone(310), "eight", "train", subtype="PCM_U8")
    result = dataset.run()
    table = dataset.table()
    assert result.accepted == 7 and result.rejected == 0 and set(result.classes) == {*LABELS, "wide", "eight"}
    for row in table.itertuples():
        samples, rate = audio.read(dataset.data_root / row.path)
        assert rate == row.sample_rate_hz == RATE and samples.shape[0] == row.channels and len(row.sha256) == 64
    source = audio.read(dataset.root / "0.wav")[0]
    stored = audio.read(dataset.data_root / table[table["label"] == LABELS[0]].iloc[0]["path"])[0]
    assert np.array_equal(source, stored), "16-bit audio survives bit for bit"
    assert json.loads((dataset.output / "labels.json").read_text()) == sorted({*LABELS, "wide", "eight"})


def test_every_bad_row_keeps_its_reason_and_good_rows_are_untouched(dataset, tmp_path):
    dataset.sound("good.wav", tone(440))
    bad = {
        "silent.wav": (np.zeros(RATE, np.float32), "silent"), "clipped.wav": (np.sign(tone(100)), "clipped"),
        "brief.wav": (tone(400, 0.05), "too_short"), "long.flac": (tone(400, 61), "too_long"),
    }  # fmt: skip
    for name, (samples, _) in bad.items():
        dataset.sound(name, samples)
    broken = tone(440).copy()
    broken[5] = np.nan
    dataset.sound("nan.wav", broken, subtype="FLOAT")
    expected = {name: reason for name, (_, reason) in bad.items()} | {"nan.wav": "not_finite"}
    (dataset.root / "text.wav").write_text("no sound at all")
    (dataset.root / "empty.wav").write_bytes(b"")
    (tmp_path / "outside.wav").write_bytes((dataset.root / "good.wav").read_bytes())
    (dataset.root / "link.wav").symlink_to(tmp_path / "outside.wav")
    for name, reason in (("text.wav", "unreadable"), ("empty.wav", "empty_file"), ("../outside.wav", "outside_root"),
                         ("none.wav", "missing_file"),
                         ("link.wav", "outside_root"), (str(tmp_path / "outside.wav"), "outside_root")):  # fmt: skip
        dataset.rows.append((name, "a", "train"))
        expected[name] = reason
    dataset.rows.append(("good.wav", "b", "train"))
    result = dataset.run()
    table = dataset.table()
    assert result.rows == len(table) == len(expected) + 2
    found = {json.loads(row.parameters)["source_path"]: row.reason.split(":")[0] for row in table.itertuples() if row.status == "rejected"}
    assert found == expected | {"good.wav": "duplicate_path"}
    assert [row.label for row in manifest.accepted(table).itertuples()] == ["a"]
    with (dataset.output / "rejected.csv").open(newline="") as handle:
        listed = list(csv.DictReader(handle))
    assert len(listed) == result.rejected and all(row["line"] and row["reason"] and row["file"] == "clips.csv" for row in listed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("path,label,split\n", "no rows"),
        ("file,label,split\na.wav,a,train\n", "columns missing"),
        ("paht,label,split\na.wav,a,train\n", "did you mean 'paht' for 'path'"),
    ],
)
def test_unusable_tables_are_refused_with_what_was_found(dataset, text, message):
    with pytest.raises(InvalidValueError, match=message):
        dataset.run(text=text)


def test_too_many_rejections_fail_the_stage(dataset):
    dataset.sound("good.wav", tone(440))
    dataset.rows += [("none.wav", "a", "train"), ("nothing.wav", "a", "train")]
    with pytest.raises(InvalidValueError, match="2 of 3 rows cannot be used"):
        dataset.run(max_reject_fraction=0.5)


def test_blank_cells_unknown_splits_and_unused_folds_are_named(dataset):
    dataset.sound("a.wav", tone(300))
    dataset.sound("b.wav", tone(310), "")
    dataset.sound("c.wav", tone(320), "a", "holdout")
    dataset.run()
    reasons = [row.reason for row in dataset.table().itertuples() if row.status == "rejected"]
    assert any("bad_cell" in reason and "not_empty" in reason for reason in reasons) and any(
        "unknown_split" in reason for reason in reasons
    )


def test_same_recording_in_two_splits_stays_in_the_test_only(dataset):
    dataset.sound("a.wav", tone(300), "a", "train")
    dataset.sound("copy.wav", tone(300), "a", "test")
    dataset.sound("b.wav", tone(400), "a", "train")
    dataset.run()
    table = dataset.table()
    rejected = table[table["status"] == "rejected"]
    assert [json.loads(text)["source_path"] for text in rejected["parameters"]] == [
        "a.wav"
    ] and "duplicate_of_other_split" in rejected.iloc[0]["reason"]


def test_folds_become_splits_and_overlapping_folds_are_refused(dataset):
    for number in range(5):
        dataset.sound(f"{number}.wav", tone(200 + 20 * number), "a", str(number + 1))
    folds = {"train_folds": ("1", "2", "3"), "val_folds": ("4",), "test_folds": ("5",)}
    result = dataset.run(header=("path", "label", "fold"), split_column="", fold_column="fold", **folds)
    assert (result.train, result.val, result.test) == (3, 1, 1)
    with pytest.raises(InvalidValueError, match="in two splits"):
        Settings(fold_column="fold", train_folds=("1",), test_folds=("1",))


def test_without_split_or_fold_a_seeded_stratified_split_is_drawn(dataset):
    for label in "ab":
        for number in range(10):
            dataset.sound(f"{label}{number}.wav", tone(200 + 13 * number + 7 * (label == "b")), label)
    result = dataset.run(split_column="")
    assert (result.train, result.val, result.test) == (12, 4, 4)
    first = dict(zip(dataset.table()["clip_id"], dataset.table()["split"], strict=True))
    dataset.run(split_column="")
    assert dict(zip(dataset.table()["clip_id"], dataset.table()["split"], strict=True)) == first


def test_wrong_digest_in_the_table_is_noticed(dataset):
    dataset.sound("a.wav", tone(300))
    dataset.rows = [("a.wav", "a", "train", "0" * 64)]
    dataset.sound("b.wav", tone(310))
    dataset.rows[-1] = (*dataset.rows[-1], "")
    dataset.run(header=("path", "label", "split", "sha256"))
    assert [row.reason.split(":")[0] for row in dataset.table().itertuples()] == ["digest_mismatch", ""]


class Tables(Dataset):
    """A root folder with a table for each split; ``given`` holds the rows by split."""

    def __init__(self, folder):
        super().__init__(folder)
        self.given = {"train": [], "val": [], "test": []}

    def clip(self, split, name, frequency, label="a", *cells):
        if not (self.root / name).exists():
            soundfile.write(self.root / name, tone(frequency), RATE)
        self.given[split].append((name, label, *cells))

    def run(self, header=("path", "label"), names=("train.csv", "val.csv", "test.csv"), **settings):
        paths = {}
        for (split, rows), name in zip(self.given.items(), names, strict=True):
            path = self.root / name
            if rows:
                path.parent.mkdir(exist_ok=True)
                with path.open("w", newline="", encoding="utf-8") as handle:
                    csv.writer(handle).writerows([header, *rows])
                paths[split] = str(path)
        context = Context(self.output, self.data_root, final="stages/prepare/aa", emit=lambda kind, values: None)
        options = Settings(**{"max_reject_fraction": 1.0, **settings})
        return run(Request(paths["train"], str(self.root), options, paths.get("val", ""), paths.get("test", "")), context)

    def reasons(self):
        table = self.table()
        return {
            (json.loads(row.parameters)["table"], json.loads(row.parameters)["source_path"]): row.reason
            for row in table[table["status"] == "rejected"].itertuples()
        }


@pytest.fixture
def tables(tmp_path):
    return Tables(tmp_path)


def test_a_table_for_each_split(tables):
    for number, split in enumerate(["train"] * 3 + ["val", "test"]):
        tables.clip(split, f"{number}.wav", 200 + 30 * number)
    result = tables.run()
    assert (result.train, result.val, result.test, result.rejected) == (3, 1, 1, 0) and result.splits_from == "tables"
    found = {json.loads(row.parameters)["source_path"]: row.split for row in tables.table().itertuples()}
    assert found == {"0.wav": "train", "1.wav": "train", "2.wav": "train", "3.wav": "val", "4.wav": "test"}


def test_tables_of_the_same_name_are_told_apart(tables):
    tables.clip("train", "0.wav", 200)
    tables.clip("val", "1.wav", 230)
    tables.clip("test", "2.wav", 260)
    tables.clip("test", "none.wav", 0, "a")
    (tables.root / "none.wav").unlink()
    tables.run(names=("one/clips.csv", "two/clips.csv", "three/clips.csv"))
    assert list(tables.reasons()) == [("clips.csv (test)", "none.wav")]
    with pytest.raises(InvalidValueError, match="the same table twice"):
        tables.run(names=("clips.csv", "clips.csv", "test.csv"))


def test_a_clip_in_two_tables_stays_in_the_test_and_both_rows_are_named(tables):
    for number, split in enumerate(("train", "val", "test")):
        tables.clip(split, f"{number}.wav", 200 + 30 * number)
    tables.clip("train", "2.wav", 260, "another label")
    tables.clip("train", "copy.wav", 230)
    tables.clip("val", "2.wav", 260)
    result = tables.run()
    assert (result.train, result.val, result.test) == (1, 1, 1) and result.reasons == {"duplicate_of_other_split": 3}
    reasons = tables.reasons()
    assert "the same file as line 2 of test.csv (2.wav), which is in test" in reasons["train.csv", "2.wav"]
    assert "the same bytes as line 2 of val.csv (1.wav), which is in val" in reasons["train.csv", "copy.wav"]
    assert "test.csv" in reasons["val.csv", "2.wav"]
    with (tables.output / "rejected.csv").open(newline="") as handle:
        assert [(row["file"], row["line"]) for row in csv.DictReader(handle)] == [("train.csv", "3"), ("train.csv", "4"), ("val.csv", "3")]


def test_rows_that_name_another_split_than_their_table_are_rejected(tables):
    tables.clip("train", "0.wav", 200, "a", "demo", "train")
    tables.clip("train", "1.wav", 230, "a", "demo", "test")
    tables.clip("val", "2.wav", 260, "a", "demo", "valid")
    tables.clip("test", "3.wav", 290, "a", "demo", "")
    result = tables.run(header=("path", "label", "dataset", "split_name"))
    assert (result.train, result.val, result.test) == (1, 1, 1) and result.reasons == {"split_of_another_table": 1}
    kept = manifest.accepted(tables.table())
    assert {json.loads(text)["source_dataset"] for text in kept["parameters"]} == {"demo"}
    named = tables.run(header=("path", "label", "dataset", "part"), split_column="part")
    assert named.reasons == {"split_of_another_table": 1}


def test_without_a_validation_table_a_seeded_share_of_each_class_is_cut_from_train(tables):
    for number in range(20):
        tables.clip("train", f"{number}.wav", 200 + 13 * number, "ab"[number % 2])
    tables.clip("test", "t.wav", 900)
    result = tables.run(val_share=0.3)
    assert (result.train, result.val, result.test) == (14, 6, 1) and result.splits_from == "tables, val drawn from train"
    val = tables.table().query("split == 'val'")
    assert val["label"].value_counts().to_dict() == {"a": 3, "b": 3}
    tables.run(val_share=0.3)
    assert set(tables.table().query("split == 'val'")["clip_id"]) == set(val["clip_id"])
    tables.run(val_share=0.3, split_seed=1)
    assert set(tables.table().query("split == 'val'")["clip_id"]) != set(val["clip_id"])


def test_tables_that_leave_the_split_open_or_say_it_twice_are_refused():
    with pytest.raises(InvalidValueError, match="test_csv: missing"):
        Request("a.csv", "root", val_csv="v.csv")
    with pytest.raises(InvalidValueError, match="both say the split"):
        Request("a.csv", "root", Settings(fold_column="fold", train_folds=("1",)), test_csv="t.csv")


def test_synthios_split_column_counts_only_when_it_divides_something(dataset):
    for number in range(10):
        dataset.sound(f"{number}.wav", tone(200 + 30 * number), "a", "train")
    result = dataset.run(header=("path", "label", "split_name"), split_column="")
    assert result.splits_from == "drawn" and (result.train, result.val, result.test) == (6, 2, 2)
    dataset.rows[7:] = [(name, label, "valid" if name == "7.wav" else "test") for name, label, _ in dataset.rows[7:]]
    result = dataset.run(header=("path", "label", "split_name"), split_column="")
    assert result.splits_from == "column split_name" and (result.train, result.val, result.test) == (7, 1, 2)


def test_absolute_paths_below_the_root_are_made_relative(dataset):
    dataset.sound("a.wav", tone(300))
    relative = dataset.run()
    ids = set(dataset.table()["clip_id"])
    dataset.rows = [(str(dataset.root / "a.wav"), "a", "train")]
    assert dataset.run() == relative and set(dataset.table()["clip_id"]) == ids
    assert str(dataset.root) not in dataset.table().iloc[0]["parameters"]


@pytest.mark.parametrize("separator", [";", ","])
def test_multi_label_texts_stay_as_they_are_and_broken_ones_are_rejected(dataset, separator):
    other = "," if separator == ";" else ";"
    labels = [f"rain{separator} wind", "wind", f"a{other}b", f"rain{separator}{separator}wind", f"wind{separator}wind "]
    for number, label in enumerate(labels):
        dataset.sound(f"{number}.wav", tone(200 + 30 * number), label)
    result = dataset.run(label_separator=separator)
    assert list(manifest.accepted(dataset.table())["label"]) == labels[:3] and result.reasons == {"bad_labels": 2}
    assert result.classes == (f"a{other}b", "rain", "wind")
    assert dataset.run().rejected == 0, "without a separator every text is one label"
