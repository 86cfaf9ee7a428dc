from collections import Counter

import numpy as np
import pytest

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.synthesize_captioned.everyday.catalogue import NAMED
from tasks.synthesize_captioned.families import FAMILIES, pitch_word, rate_word
from tasks.synthesize_captioned.spec import Request, Settings
from tasks.synthesize_captioned.stage import make_clip, run, schedule
from tasks.synthesize_demo.sounds import CLASSES
from tests.donors import bytes_of, finish, heir


def test_set_is_a_dataset_folder_with_true_files(tmp_path):
    output = tmp_path / "stages/synthesize_captioned/aa"
    output.mkdir(parents=True)
    final = "stages/synthesize_captioned/aa"
    result = run(Request(Settings(count=96)), Context(output=output, data_root=tmp_path, final=final, emit=lambda kind, values: None))
    table = manifest.read(output)
    assert result.clips == 96 and table["clip_id"].is_unique and set(table["split"]) == {"train"}
    assert set(table["label"]) == set(FAMILIES) | set(NAMED) and result.families == tuple(sorted(set(table["label"])))
    for row in table.itertuples():
        samples, rate = audio.read(tmp_path / row.path)
        assert rate == 16000 and samples.shape == (1, 32000) and 0 < np.abs(samples).max() < 0.98
        assert 2 <= len(row.caption.split()) <= 40


def test_generic_captions_do_not_name_the_demo_classes():
    words = {part for label in CLASSES for part in label.split("_")} - {"rain"} | {"rain"}
    captions = [make_clip(Settings(), family, index)[1].lower() for family in FAMILIES for index in range(25)]
    assert not [caption for caption in captions if words & set(caption.replace(",", "").split())]


def test_pitch_word_follows_the_measured_pitch():
    times = np.arange(32000) / 16000
    for seed in range(20):
        sound, words = FAMILIES["tone"](np.random.default_rng(seed), times, 16000)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        assert pitch_word(np.argmax(spectrum) * 0.5) in words


def test_words_are_ordered_by_value():
    assert [pitch_word(value) for value in (100, 300, 1000, 2000, 5000)] == ["very low", "low", "mid-range", "high", "very high"]
    assert [rate_word(value) for value in (1, 3, 8, 20)] == ["slow", "steady", "fast", "very fast"]


def test_clip_does_not_depend_on_how_many_there_are():
    assert np.array_equal(make_clip(Settings(count=5), "ring", 3)[0], make_clip(Settings(count=500), "ring", 3)[0])


@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_named_share_is_kept_and_spread_evenly(share):
    settings = Settings(count=600, named_share=share)
    plan = [schedule(settings, number) for number in range(600)]
    assert len(set(plan)) == 600
    assert sum(family in NAMED for family, _ in plan) == round(600 * share)
    for kind in (NAMED, FAMILIES):
        counts = Counter(family for family, _ in plan if family in kind)
        assert not counts or max(counts.values()) - min(counts.get(family, 0) for family in kind) <= 1
        assert all({index for name, index in plan if name == family} == set(range(count)) for family, count in counts.items())


def test_share_and_size_outside_their_ranges_are_refused():
    for wrong in ({"named_share": -0.1}, {"named_share": 1.1}, {"count": 0}, {"duration_s": 0.2}):
        with pytest.raises(InvalidValueError, match=next(iter(wrong))):
            Settings(**wrong)


def test_no_family_has_two_models():
    assert not set(NAMED) & set(FAMILIES)


def test_a_larger_set_takes_the_smaller_ones_clips_over(tmp_path):
    outputs = {}
    for name, count, donors in (("small", 12, []), ("large", 20, ["small"]), ("fresh", 20, [])):
        request = Request(Settings(count=count, duration_s=0.5, named_share=0.5))
        context, counts = heir(tmp_path, "synthesize_captioned", name, [outputs[donor][1] for donor in donors])
        run(request, context)
        outputs[name] = (context.output, finish(context.output, request), counts)
    assert outputs["large"][2] == {"clips_made": 8, "clips_reused": 12}
    assert bytes_of(outputs["large"][0]) == bytes_of(outputs["fresh"][0])
