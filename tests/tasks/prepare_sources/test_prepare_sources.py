import csv
import json

import numpy as np
import pytest
import soundfile

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.prepare_sources.spec import Request, Settings
from tasks.prepare_sources.stage import run
from tasks.spatial import scenes

RATE, LENGTH = 8000, 0.5


def sound(seed, seconds, rate_hz=RATE, channels=1):
    return 0.3 * np.random.default_rng(seed).uniform(-1, 1, (channels, round(seconds * rate_hz))).astype(np.float32)


@pytest.fixture
def root(tmp_path):
    """Four train clips (one lost, one damaged), two test clips with two captions each."""
    files = tmp_path / "files"
    for number, (seconds, rate_hz, channels) in enumerate([(0.2, 8000, 1), (1.0, 16_000, 2)]):
        audio.write(files / f"train/{number}.wav", sound(number, seconds, rate_hz, channels), rate_hz)
    (files / "train/2.mp3").write_bytes(b"no sound at all")
    audio.write(files / "10.flac", sound(10, 0.5), RATE)
    with (files / "12.mp3").open("wb") as handle:
        soundfile.write(handle, sound(12, 0.5, 16_000)[0], 16_000, format="MP3")
    (tmp_path / "train.csv").write_text(
        'audiocap_id,youtube_id,start_time,caption\n0,aa,0,rain falls\n1,bb,30,"a bell, far away"\n2,cc,0,wind\n3,dd,0,birds\n'
    )
    (tmp_path / "test.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n10,ee,0,a dog\n11,ee,0,a dog barks\n12,ff,5,a car\n13,ff,5,\n"
    )
    return tmp_path


def made(root, name="out", val="", **settings):
    output = root / "stages/prepare_sources" / name
    output.mkdir(parents=True)
    context = Context(output, root, final=f"stages/prepare_sources/{name}", emit=lambda kind, values: None)
    chosen = Settings(**{"sample_rate_hz": RATE, "duration_s": LENGTH, "max_reject_fraction": 0.5, **settings})
    request = Request(str(root / "files"), str(root / "train.csv"), val, str(root / "test.csv"), chosen)
    return run(request, context), manifest.read(output), output


def test_clips_are_mono_of_one_length_and_captions_stay_apart(root):
    result, table, output = made(root)
    assert (result.captions, result.clips, result.rejected, result.lost_captions) == (8, 4, 2, 2)
    assert (result.train, result.val, result.test) == (2, 0, 2) and result.reasons == {"missing_file": 1, "unreadable": 1}
    assert len(table) == 6 and table["clip_id"].is_unique, "nothing is dropped silently"
    usable = manifest.accepted(table)
    for row in usable.itertuples():
        found, rate_hz = audio.read(root / row.path)
        assert rate_hz == RATE and found.shape == (1, 4000) and row.duration_s == LENGTH and row.channels == 1
    by_caption = {row.caption: row for row in usable.itertuples()}
    short, _ = audio.read(root / by_caption["rain falls"].path)
    assert np.array_equal(short[0, 1600:3200], short[0, :1600]) and np.abs(short[0, :1600] - sound(0, 0.2)[0]).max() < 1e-4
    wide, _ = audio.read(root / by_caption["a bell, far away"].path)
    mean = audio.resample(sound(1, 1.0, 16_000, 2).mean(0), 16_000, RATE)[:4000]
    assert np.abs(wide[0] - mean).max() < 1e-3
    two = json.loads(by_caption["a dog"].parameters)["source_captions"]
    assert two == [{"caption_id": "10", "caption": "a dog"}, {"caption_id": "11", "caption": "a dog barks"}]
    items = scenes.sources(table, "all")
    assert set(items["caption_id"]) == {"0", "1", "10", "11", "12"} and items["clip_id"].nunique() == 4
    with (output / "rejected.csv").open() as handle:
        rejected = {row["caption_id"]: (row["line"], row["reason"]) for row in csv.DictReader(handle)}
    assert rejected == {"2": ("4", "unreadable"), "3": ("5", "missing_file"), "13": ("5", "no_caption")}


def test_reruns_give_the_same_bytes(root):
    assert list(made(root, "a")[1]["sha256"]) == list(made(root, "b")[1]["sha256"])


def test_without_clip_columns_files_of_the_same_bytes_are_one_clip(root):
    (root / "files/11.flac").write_bytes((root / "files/10.flac").read_bytes())
    (root / "test.csv").write_text("audiocap_id,caption\n10,a dog\n11,a dog barks\n12,a car\n")
    result, table, _ = made(root)
    assert result.test == 2 and (table["split"] == "test").sum() == 2


def test_a_clip_of_two_splits_leaves_the_one_that_is_learnt_from(root):
    (root / "val.csv").write_text("audiocap_id,youtube_id,start_time,caption\n20,aa,0,rain\n")
    (root / "files/20.wav").write_bytes((root / "files/train/0.wav").read_bytes())
    result, table, _ = made(root, val=str(root / "val.csv"))
    assert result.reasons["in_two_splits"] == 1 and (result.train, result.val) == (1, 1)
    assert table[table["reason"].str.startswith("in_two_splits")]["split"].tolist() == ["train"]


def test_names_that_lead_out_of_the_root_find_nothing(root):
    audio.write(root / "secret.wav", sound(5, 0.5), RATE)
    (root / "train.csv").write_text("audiocap_id,caption\n../../secret,x\n0,rain\n")
    result, _, _ = made(root)
    assert result.reasons == {"missing_file": 1} and result.train == 1


def test_tables_that_cannot_be_and_too_many_losses_are_refused(root):
    with pytest.raises(InvalidValueError, match="2 of 6 clips cannot be used"):
        made(root, "a", max_reject_fraction=0.2)
    with pytest.raises(InvalidValueError, match=r"column missing.*caption"):
        made(root, "b", caption_column="captoin")
    (root / "train.csv").write_text("audiocap_id,caption\n0,x\n0,y\n")
    with pytest.raises(InvalidValueError, match="an id occurs twice"):
        made(root, "c")
    with pytest.raises(InvalidValueError, match="no table"):
        Request("x")
