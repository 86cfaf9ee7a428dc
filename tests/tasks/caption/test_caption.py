import json

import numpy as np
import pytest

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.caption import descriptors
from tasks.caption.spec import Request, Settings
from tasks.caption.stage import pool, run
from tasks.language_model import grammar
from tasks.language_model.grammar import seeded
from tasks.language_model.text import foreign_labels, labels_of, named, names_label, spoken, template

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


def parameters(table):
    return {row.clip_id: json.loads(row.parameters) for row in table.itertuples()}


def test_mixcap_captions_contain_the_label_and_are_short_and_many(gold):
    table = caption(gold)
    for row in table.itertuples():
        captions = json.loads(row.parameters)["captions"]
        assert len(captions) == 5 and row.caption == captions[0]
        assert all(spoken(row.label) in text.lower() and len(text.split()) <= 25 and "_" not in text for text in captions)
    assert len({text for row in table.itertuples() for text in json.loads(row.parameters)["captions"]}) > 20


def test_pool_is_over_the_whole_class_and_no_other(gold):
    table = caption(gold, captions_per_clip=40)
    found = parameters(table)
    first = next(iter(found))
    own = set(found[first]["events"])
    used = " ".join(found[first]["captions"])
    class_events = {event for row in table.itertuples() if row.label == "clock_tick" for event in found[row.clip_id]["events"]}
    assert any(event in used for event in class_events - own), "components of other clips of the class are mixed in"


def test_pool_keeps_its_share_without_replacement():
    phrases = {"a": [f"e{i}" for i in range(8)], "b": ["e1", "e9"]}
    kept = pool(phrases, 0.75, seeded(0, "x"))
    assert len(kept) == len(set(kept)) == 7 and set(kept) <= {f"e{i}" for i in range(10)}
    assert kept == pool(phrases, 0.75, seeded(0, "x")) != pool(phrases, 0.75, seeded(1, "x"))


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


MODES = ("template", "plain", "plain_wo_caption", "mixcap", "supcon", "multi_label")


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_the_manifests_contract(gold, mode):
    before, table = manifest.read(gold / "stages/stratify/aa"), caption(gold, mode=mode)
    assert list(table["clip_id"]) == list(before["clip_id"]) and list(table["path"]) == list(before["path"])
    for row, own in zip(table.itertuples(), parameters(table).values(), strict=True):
        assert row.caption == own["captions"][0] and own["caption_mode"] == mode
        assert len(own["captions"]) == (1 if mode == "template" else 5)
        folded = [text.casefold() for text in own["captions"]]
        assert len(set(folded)) == len(folded)
        assert all(names_label(text, row.label) and len(text.split()) <= 25 and "_" not in text for text in own["captions"])
        assert not any(named(text, foreign_labels(["clock_tick", "fog horn"], [row.label])) for text in own["captions"])
        if mode != "template":
            assert own["events"] and own["scenes"]
        assert ("captions_supcon" in own) == (mode == "supcon")
        assert ("described" in own) == (mode in ("plain", "mixcap"))
    again = caption(gold, "again", mode=mode)
    assert list(again["parameters"]) == list(table["parameters"])


def test_plain_uses_only_the_clips_own_measured_words(gold):
    measured = {phrase for facet in grammar.FACETS for phrase in facet}
    for own in parameters(caption(gold, mode="plain")).values():
        own_words = {*own["events"], *own["scenes"]}
        used = {phrase for phrase in measured for text in own["captions"] if phrase in text}
        assert used and used <= own_words, used - own_words


def test_modes_by_label_never_listen(gold):
    for path in gold.glob("stages/prepare/aa/*.wav"):
        path.write_bytes(b"no sound")
    assert len(caption(gold, "a", mode="supcon")) == len(caption(gold, "b", mode="plain_wo_caption")) == 8


def test_supcon_captions_differ_more_than_those_by_label(gold):
    def shared(table):
        pairs = []
        for own in parameters(table).values():
            sets = [set(text.casefold().split()) for text in own["captions"]]
            pairs += [len(a & b) / len(a | b) for i, a in enumerate(sets) for b in sets[:i]]
        return np.mean(pairs)

    assert shared(caption(gold, "a", mode="supcon")) < shared(caption(gold, "b", mode="plain_wo_caption"))


def test_multi_label_captions_name_every_label(gold):
    table = manifest.read(gold / "stages/stratify/aa")
    table["label"] = ["rain;wind_gust", "rain", "rain;wind_gust;fog horn", "siren"] * 2
    manifest.write(gold / "stages/stratify/aa", table)
    for row in caption(gold, mode="multi_label", label_separator=";").itertuples():
        for text in json.loads(row.parameters)["captions"]:
            assert all(spoken(label) in text for label in row.label.split(";"))
            others = {"rain", "wind gust", "fog horn", "siren"} - {spoken(label) for label in row.label.split(";")}
            assert not named(text, sorted(others))


def test_a_captioners_words_are_taken_apart_and_used(gold):
    table = manifest.read(gold / "stages/stratify/aa")
    words = "a clock ticks in a cellar while a cat purrs, and someone whispers"
    table["parameters"] = [json.dumps({"described": words})] * 8
    manifest.write(gold / "stages/stratify/aa", table)
    found = parameters(caption(gold, captions_per_clip=30))
    own = found[min(found)]
    assert own["described"] == words and own["described_by"] == "captioner"
    assert "with a cat purrs" in own["events"] and "in a cellar" in own["scenes"]
    assert any("in a cellar" in text for text in own["captions"])


def test_contradictory_words_never_meet(gold):
    for own in parameters(caption(gold, captions_per_clip=40)).values():
        for text in own["captions"]:
            found = [phrase for phrase in {phrase for facet in grammar.FACETS for phrase in facet} if phrase in text]
            clashes = [(a, b) for a in found for b in found if a < b and a not in b and b not in a and grammar.contradict(a, b)]
            assert not clashes, (text, clashes)


def test_captions_do_not_hang_on_the_order_of_the_clips(gold):
    first = parameters(caption(gold, "a"))
    manifest.write(gold / "stages/stratify/aa", manifest.read(gold / "stages/stratify/aa").iloc[::-1])
    assert parameters(caption(gold, "b")) == first


def test_a_label_longer_than_a_caption_is_an_error(gold):
    table = manifest.read(gold / "stages/stratify/aa")
    table["label"] = "one two three four five six seven eight nine"
    manifest.write(gold / "stages/stratify/aa", table)
    with pytest.raises(InvalidValueError, match="max_words"):
        caption(gold, max_words=8)


def test_the_vocabulary_names_no_label_of_its_own_and_nothing_unusable():
    for label, words in grammar.vocabulary().items():
        for phrase in [*words["events"], *words["scenes"]]:
            assert phrase == phrase.strip().lower() and 1 <= len(phrase.split()) <= 7
        assert label == "default" or (grammar.without_label(words["events"], label) and grammar.without_label(words["scenes"], label))


def test_no_clips_give_no_captions(gold):
    manifest.write(gold / "stages/stratify/aa", manifest.frame([]))
    assert len(caption(gold)) == 0


def test_labels_are_spoken_each_once_and_in_their_order():
    assert labels_of("clock_tick") == ("clock tick",) and labels_of("rain;wind_gust") == ("rain;wind gust",)
    assert labels_of("rain; wind_gust;;rain ; ", ";") == ("rain", "wind gust")
    assert labels_of("dog__bark, dog bark", ",") == ("dog bark",) and labels_of(" ") == labels_of(";", ";") == ()
