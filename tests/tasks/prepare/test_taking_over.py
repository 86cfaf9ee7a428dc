import csv
from dataclasses import fields

import numpy as np
import soundfile

from core import manifest
from tasks.prepare.spec import OF_THE_TABLE, Request, Settings
from tasks.prepare.stage import run
from tests.donors import bytes_of, finish, heir

RATE = 8000


def write(root, name, frequency):
    root.mkdir(exist_ok=True)
    soundfile.write(root / name, 0.3 * np.sin(frequency * np.arange(1600) / RATE), RATE)


def prepared(root, folder, name, rows, donors=()):
    with (folder / "clips.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([("path", "label", "split"), *rows])
    context, counts = heir(root, "prepare", name, donors)
    request = Request(str(folder / "clips.csv"), str(folder), Settings(split_column="split", max_reject_fraction=1.0))
    return context.output, request, run(request, context), counts


def test_known_bytes_are_not_decoded_again_and_rows_follow_the_table(tmp_path):
    sounds, root = tmp_path / "sounds", tmp_path / "data"
    for number in range(6):
        write(sounds, f"{number}.wav", 100 + number)
    (sounds / "silent.wav").write_bytes((sounds / "0.wav").read_bytes())
    soundfile.write(sounds / "silent.wav", np.zeros(1600), RATE)
    rows = [(f"{number}.wav", "ab"[number % 2], "train") for number in range(6)] + [("silent.wav", "a", "train")]
    output, request, _, counts = prepared(root, sounds, "1", rows)
    assert counts == {"clips_made": 7, "clips_reused": 0}
    donor = finish(output, request)

    (sounds / "2.wav").rename(sounds / "renamed.wav")  # the same bytes under another name
    write(sounds, "3.wav", 900)
    rows = [("0.wav", "other", "test"), *rows[4:], ("1.wav", "b", "train"), ("renamed.wav", "a", "train"), ("3.wav", "b", "val")]
    ours, _, result, counts = prepared(root, sounds, "2", rows, [donor])
    assert counts == {"clips_made": 2, "clips_reused": 5}, "what is new, and what is no use, which is listened to every time"
    fresh, _, again, _ = prepared(root, sounds, "3", rows)
    assert bytes_of(ours) == bytes_of(fresh) and result == again
    assert (ours / "rejected.csv").read_bytes() == (fresh / "rejected.csv").read_bytes()
    table = manifest.read(ours)
    assert set(table.loc[table["label"] == "other", "split"]) == {"test"} and "silent" in " ".join(table["reason"])


def test_how_sounds_are_decoded_hangs_on_the_limits_alone():
    named = {item.name for item in fields(Settings)}
    assert set(OF_THE_TABLE) < named
    assert named - set(OF_THE_TABLE) == {"min_duration_s", "max_duration_s", "silence_dbfs", "clipped_share"}
