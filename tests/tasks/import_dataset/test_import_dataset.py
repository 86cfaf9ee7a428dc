"""Miniatures of the published datasets, laid out as they are unpacked, become tables that ``prepare`` takes."""

import csv
import json
from collections import Counter
from zlib import crc32

import numpy as np
import pytest
import soundfile

from core import manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.import_dataset import stage
from tasks.import_dataset.spec import Request, Settings
from tasks.prepare import spec as prepare
from tasks.prepare import stage as prepare_stage


def sounds(root, names):
    """Write a short tone of its own for each name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, 0.2 * np.sin((0.05 + crc32(name.encode()) / 2**33) * np.arange(1600)), 16000)


def table(path, header, rows, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(separator.join(str(cell) for cell in row) for row in [header, *rows]) + "\n")


def esc50(root):
    rows = [(f"{fold}-{clip}-A-{label}.wav", fold, label, name, False, clip, "A")
            for fold in range(1, 6) for clip, (label, name) in enumerate([(0, "dog"), (7, "door_wood_knock")])]  # fmt: skip
    table(root / "meta/esc50.csv", ("filename", "fold", "target", "category", "esc10", "src_file", "take"), rows)
    sounds(root, [f"audio/{row[0]}" for row in rows])


def urbansound8k(root):
    rows = [(f"{fold}0-{kind}-0-0.wav", 100 + fold, 0.0, 4.0, 1, fold, kind, name)
            for fold in range(1, 11) for kind, name in ((3, "dog_bark"), (8, "siren"))]  # fmt: skip
    header = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    table(root / "metadata/UrbanSound8K.csv", header, rows)
    sounds(root, [f"audio/fold{row[5]}/{row[0]}" for row in rows])


def vivae(root):
    sounds(root, [f"full_set/S{speaker:02d}_{emotion}_strong_01.wav" for speaker in range(1, 12) for emotion in ("anger", "pain")])
    sounds(root, ["core_set/S01_fear_low_01.wav"])


def nsynth(root):
    for part, number in (("train", 40), ("valid", 14), ("test", 14)):
        notes = {f"guitar_acoustic_{note:03d}-{pitch:03d}-075": {"pitch": pitch, "note_str": "n", "instrument_str": "guitar"}
                 for note, pitch in enumerate([15, *range(60, 60 + number), 115])}  # fmt: skip
        (root / f"nsynth-{part}").mkdir(parents=True)
        (root / f"nsynth-{part}/examples.json").write_text(json.dumps(notes))
        sounds(root, [f"nsynth-{part}/audio/{name}.wav" for name in notes])


def crema_d(root):
    sounds(root, [f"AudioWAV/{actor}_{word}_{emotion}_XX.wav" for actor in range(1001, 1016) for word in ("DFA", "IEO")
                  for emotion in ("ANG", "SAD", "NEU")])  # fmt: skip


def fsd50k(root):
    dev = [(n, '"Bark,Dog"' if n % 2 else "Rain", "/m/1", "val" if n % 4 == 0 else "train") for n in range(10, 22)]
    table(root / "FSD50K.ground_truth/dev.csv", ("fname", "labels", "mids", "split"), dev)
    table(root / "FSD50K.ground_truth/eval.csv", ("fname", "labels", "mids"), [(1, "Rain", "/m/1"), (2, '"Bark,Dog"', "/m/2")])
    sounds(root, [*(f"FSD50K.dev_audio/{row[0]}.wav" for row in dev), "FSD50K.eval_audio/1.wav", "FSD50K.eval_audio/2.wav"])


def vocal_imitation(root):
    rows = [(f"{n}_by_{n % 5}.wav", f"00{n % 2}_Reference, thing.wav", int(n != 3)) for n in range(24)]
    table(root / "vocal_imitations.txt", ("imitation_filename", "reference_filename", "included"), rows, "\t")
    sounds(root, [f"vocal_imitations/{'included' if row[2] else 'excluded'}/{row[0]}" for row in rows])


def libricount(root):
    sounds(root, [f"test/{speakers}_{name}.wav" for speakers in range(11) for name in "abcdef"])


MAKERS = [esc50, urbansound8k, vivae, nsynth, crema_d, fsd50k, vocal_imitation, libricount]


def imported(tmp_path, layout, **settings):
    """Import; returns the result and the rows of the table."""
    output = tmp_path / "data/stages/import_dataset/aa"
    output.mkdir(parents=True, exist_ok=True)
    request = Request(layout=layout, root=str(tmp_path / "set"), settings=Settings(**settings))
    result = stage.run(request, Context(output, tmp_path / "data", emit=lambda *_: None))
    with (output / "clips.csv").open(newline="") as handle:
        return result, list(csv.DictReader(handle))


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_each_dataset_passes_through_prepare_with_folds_or_splits_as_published(tmp_path, maker):
    maker(tmp_path / "set")
    folds = {"vocal_imitation": 3}.get(maker.__name__, 5)
    result, rows = imported(tmp_path, maker.__name__, folds=folds)
    output = tmp_path / "data/stages/prepare/bb"
    output.mkdir(parents=True)
    *train, val, test = [*result.folds] or ["", "", ""]
    columns = {"fold_column": "fold", "train_folds": tuple(train), "val_folds": (val,), "test_folds": (test,)}
    settings = prepare.Settings(
        min_duration_s=0.0, silence_dbfs=-200.0, label_separator="," if maker is fsd50k else "",
        **(columns if result.folds else {"split_column": "split"}),
    )  # fmt: skip
    request = prepare.Request(csv="stages/import_dataset/aa/clips.csv", root=str(tmp_path / "set"), settings=settings)
    done = prepare_stage.run(request, Context(output, tmp_path / "data", final="stages/prepare/bb", emit=lambda *_: None))
    assert done.accepted == len(rows) == result.clips and done.rejected == 0 == result.missing, done.reasons
    assert done.classes == result.labels and min(done.train, done.val, done.test) > 0
    made = manifest.read(output)
    assert set(made["fold"]) - {""} == set(result.folds) and bool(result.folds) != bool(result.splits)


def test_folds_splits_and_labels_are_the_published_ones(tmp_path):
    for maker in MAKERS:
        maker(tmp_path / maker.__name__ / "set")
    rows = {maker.__name__: imported(tmp_path / maker.__name__, maker.__name__, hours=0.02) for maker in MAKERS}
    assert {row["path"].split("/")[1][0] == row["fold"] for row in rows["esc50"][1]} == {True}
    assert {row["path"].split("/")[1] == f"fold{row['fold']}" for row in rows["urbansound8k"][1]} == {True}
    assert list(rows["urbansound8k"][0].folds) == [str(number) for number in range(1, 11)]
    assert {row["path"][10:12] == f"{int(row['fold']):02d}" for row in rows["vivae"][1]} == {True} and len(rows["vivae"][1]) == 22
    assert rows["vivae"][0].labels == ("anger", "pain") and rows["crema_d"][0].labels == ("anger", "neutral", "sad")
    by_actor = {(row["path"].split("/")[1][:4], row["fold"]) for row in rows["crema_d"][1]}
    assert len(by_actor) == 15, "an actor is in one fold only"
    fsd = {row["path"]: row for row in rows["fsd50k"][1]}
    assert fsd["FSD50K.dev_audio/11.wav"]["label"] == "Bark,Dog" and fsd["FSD50K.dev_audio/12.wav"]["split"] == "val"
    assert fsd["FSD50K.eval_audio/1.wav"]["split"] == "test" and rows["fsd50k"][0].labels == ("Bark", "Dog", "Rain")
    assert len(rows["vocal_imitation"][1]) == 23 and rows["vocal_imitation"][0].labels[1] == "001_Reference, thing.wav"
    assert rows["libricount"][0].labels == tuple(sorted(map(str, range(11))))
    notes = rows["nsynth"]
    assert notes[0].splits == {"train": 13, "val": 4, "test": 4}, "0.02 hours: 54 s and twice 18 s of 4-second notes"
    assert all(21 <= int(row["label"]) <= 108 and f"-{int(row['label']):03d}-" in row["path"] for row in notes[1])
    whole = imported(tmp_path / "nsynth", "nsynth", hours=0)
    assert whole[0].splits == {"train": 40, "val": 14, "test": 14} and "15" not in whole[0].labels
    assert {row["path"] for row in notes[1]} < {row["path"] for row in whole[1]}


def test_dealt_folds_hang_on_names_only_and_on_the_seed(tmp_path):
    libricount(tmp_path / "set")
    first = {row["path"]: row["fold"] for row in imported(tmp_path, "libricount")[1]}
    assert set(first.values()) == set("12345") and max(Counter(first.values()).values()) < 30
    (tmp_path / "set/test/5_c.wav").unlink()
    fewer = {row["path"]: row["fold"] for row in imported(tmp_path, "libricount")[1]}
    assert fewer == {path: fold for path, fold in first.items() if path != "test/5_c.wav"}
    assert {row["path"]: row["fold"] for row in imported(tmp_path, "libricount", seed=1)[1]} != fewer


def test_tasks_of_hear_bring_their_own_folds_or_splits(tmp_path):
    for number in range(3):
        names = {f"{number}{clip}.wav": [label] for clip, label in enumerate(("dog", "rain, soft"))}
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / f"set/fold{number:02d}.json").write_text(json.dumps(names))
        for rate in (16000, 48000):
            sounds(tmp_path / "set", [f"{rate}/fold{number:02d}/{name}" for name in names])
    result, rows = imported(tmp_path, "hear")
    assert result.folds == {"1": 2, "2": 2, "3": 2} and all(row["path"].startswith("16000/") for row in rows)
    assert result.labels == ("dog", "rain, soft")
    assert all(row["path"].startswith("48000/") for row in imported(tmp_path, "hear", sample_rate_hz=48000)[1])
    with pytest.raises(InvalidValueError, match="no such rate"):
        imported(tmp_path, "hear", sample_rate_hz=22050)
    for part in ("train", "valid", "test"):
        (tmp_path / "other/set").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"other/set/{part}.json").write_text(json.dumps({f"{part}.wav": ["a", "b"]}))
        sounds(tmp_path / "other/set", [f"44100/{part}/{part}.wav"])
    result, rows = imported(tmp_path / "other", "hear")
    assert result.splits == {"test": 1, "train": 1, "val": 1} and {row["label"] for row in rows} == {"a,b"}


def test_other_folders_missing_files_and_paths_that_lead_out_are_named(tmp_path):
    (tmp_path / "set").mkdir()
    for layout, said in (("esc50", "esc50.csv"), ("vivae", "full_set"), ("nsynth", "examples.json"), ("hear", "no such rate")):
        with pytest.raises(InvalidValueError, match=said):
            imported(tmp_path, layout)
    header = ("filename", "fold", "category")
    table(tmp_path / "set/meta/esc50.csv", header, [("../../../etc/x.wav", 1, "dog")])
    with pytest.raises(InvalidValueError, match="lead out"):
        imported(tmp_path, "esc50")
    table(tmp_path / "set/meta/esc50.csv", header, [("a.wav", 1, "dog"), ("b.wav", 2, "dog")])
    with pytest.raises(InvalidValueError, match="no sound file"):
        imported(tmp_path, "esc50")
    sounds(tmp_path / "set", ["audio/a.wav"])
    assert imported(tmp_path, "esc50")[0].missing == 1
    table(tmp_path / "set/meta/esc50.csv", ("file", "fold", "category"), [("a.wav", 1, "dog")])
    with pytest.raises(InvalidValueError, match="columns missing"):
        imported(tmp_path, "esc50")
