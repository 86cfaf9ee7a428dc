import json

import numpy as np
import pytest

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.caption import descriptors, grammar
from tasks.caption.spec import Request, Settings
from tasks.caption.stage import pool, run, seeded, template

RATE = 16000
TIMES = np.arange(2 * RATE) / RATE


def clicks(rate):
    sound = np.random.default_rng(0).standard_normal(len(TIMES)) * 0.001
    for start in np.arange(0.1, 2.0, 1 / rate):
        sound += 0.5 * np.exp(-np.maximum(TIMES - start, 0) * 200) * (start <= TIMES) * np.sin(2 * np.pi * 2000 * TIMES)
    return sound.astype(np.float32)


def tone(frequency, gain=0.3):
    return (gain * np.sin(2 * np.pi * frequency * TIMES)).astype(np.float32)


def test_descriptors_measure_what_is_there():
    for frequency in (110, 440, 900):
        assert descriptors.measure(tone(frequency)).pitch_hz == pytest.approx(frequency, rel=0.03)
    assert descriptors.measure(tone(440)).loudness_dbfs == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.1)
    noise = (0.1 * np.random.default_rng(1).standard_normal(len(TIMES))).astype(np.float32)
    assert descriptors.measure(noise).flatness > 0.3 > 0.01 > descriptors.measure(tone(440)).flatness
    assert descriptors.measure(noise).pitch_hz == 0
    assert descriptors.measure(clicks(2)).onsets_per_s == pytest.approx(2, abs=0.6)
    assert descriptors.measure(clicks(8)).onsets_per_s == pytest.approx(8, abs=1.6)
    assert descriptors.measure(tone(4000)).centroid_hz > 3000 > 500 > descriptors.measure(tone(200)).centroid_hz


def test_short_and_silent_clips_can_be_measured():
    for samples in (np.zeros(0, np.float32), np.zeros(5, np.float32), tone(440)[:600]):
        assert all(np.isfinite(value) for value in descriptors.measure(samples).as_dict().values())


@pytest.fixture
def gold(tmp_path):
    """Two labels, four clips each; returns the data root."""
    rows = []
    for number, sound in enumerate([tone(100), tone(150), clicks(2), clicks(8), tone(900), tone(1500), tone(3000), clicks(4)]):
        label = ("clock_tick", "fog horn")[number // 4]
        path = f"stages/prepare/aa/{number}.wav"
        audio.write(tmp_path / path, sound, RATE)
        rows.append(manifest.row(f"{number:016x}", path, "gold", label=label, split="train", duration_s=2.0))
    manifest.write(tmp_path / "stages/stratify/aa", manifest.frame(rows))
    return tmp_path


def caption(root, name="out", **settings):
    output = root / name
    output.mkdir()
    run(Request("stages/stratify/aa", Settings(**settings)), Context(output, root, emit=lambda kind, values: None))
    return manifest.read(output)


def test_mixcap_captions_contain_the_label_and_are_short_and_many(gold):
    table = caption(gold)
    for row in table.itertuples():
        captions = json.loads(row.parameters)["captions"]
        assert len(captions) == 5 and row.caption == captions[0]
        assert all(grammar.spoken(row.label) in text.lower() and len(text.split()) <= 25 and "_" not in text for text in captions)
    assert len({text for row in table.itertuples() for text in json.loads(row.parameters)["captions"]}) > 20


def test_pool_is_over_the_whole_class_and_no_other(gold):
    table = caption(gold, captions_per_clip=40)
    parameters = {row.clip_id: json.loads(row.parameters) for row in table.itertuples()}
    first = next(iter(parameters))
    own = set(parameters[first]["events"])
    used = " ".join(parameters[first]["captions"])
    class_events = {event for row in table.itertuples() if row.label == "clock_tick" for event in parameters[row.clip_id]["events"]}
    assert any(event in used for event in class_events - own), "components of other clips of the class are mixed in"


def test_pool_keeps_its_share_without_replacement():
    components = {"a": [f"e{i}" for i in range(8)], "b": ["e1", "e9"]}
    kept = pool(components, 0.75, seeded(0, "x"))
    assert len(kept) == len(set(kept)) == 7 and set(kept) <= {f"e{i}" for i in range(10)}
    assert kept == pool(components, 0.75, seeded(0, "x")) != pool(components, 0.75, seeded(1, "x"))


def test_captions_hang_on_seed_and_clip_only(gold):
    first, again, other = caption(gold, "a"), caption(gold, "b"), caption(gold, "c", seed=1)
    assert list(first["parameters"]) == list(again["parameters"]) != list(other["parameters"])


def test_template_is_the_published_one(gold):
    assert template("clock_tick") == "Sound of a clock tick"
    assert set(caption(gold, mode="template")["caption"]) == {"Sound of a clock tick", "Sound of a fog horn"}


def test_label_words_never_become_components():
    assert grammar.without_label(["with rain outside", "in a cave"], "rain") == ["in a cave"]


def test_validation_and_test_clips_are_refused(gold):
    table = manifest.read(gold / "stages/stratify/aa")
    table.loc[0, "split"] = "test"
    manifest.write(gold / "stages/stratify/aa", table)
    with pytest.raises(InvalidValueError, match="not train clips"):
        caption(gold)


def test_caption_never_exceeds_the_limit_even_for_long_labels():
    rng = np.random.default_rng(0)
    text = grammar.sentence(rng, "a very long label of many many words indeed", ["with a dull tone"], ["in a place"], 12)
    assert len(text.split()) <= 12
