import numpy as np
import pytest

from core import manifest
from core.errors import InvalidValueError
from tasks.retrieve.spec import Request, Settings
from tasks.retrieve.words import shared_out, stem, word_cosines
from tests.tasks.retrieve.test_retrieve import GOLD, PREPARED, clip, noise, retrieved

ESC10 = {
    "chainsaw": "chainsaw", "clock_tick": "clock_tick", "fire_crackling": "fire", "crackling_fire": "fire", "baby_cry": "crying_baby",
    "crying_baby": "crying_baby", "dog_bark": "dog", "dog": "dog", "helicopter": "helicopter", "rain": "rain", "rooster": "rooster",
    "sea_waves": "sea_waves", "person_sneeze": "sneezing", "sneezing": "sneezing",
}  # fmt: skip
"""The labels of ESC-10, as in ESC-50 and as in ESC-10's own folders, and the kind of sound that is meant."""


@pytest.mark.parametrize(
    ("one", "other"),
    [("crackling", "crackle"), ("waves", "wave"), ("sneezing", "sneeze"), ("ticking", "ticks"), ("Barked", "bark"), ("dogs", "dog")],
)
def test_inflections_have_one_stem(one, other):
    assert stem(one) == stem(other)


def test_short_words_keep_three_letters():
    assert [stem(word) for word in ("sing", "bed", "gas", "ring")] == ["sing", "bed", "gas", "ring"]


def test_what_a_thing_is_weighs_more_than_what_kind_it_is_of():
    pool = ["fire", "crackle", "clock_alarm", "clock_tick", "dog", "hot dog stand"]
    found = word_cosines(["crackling_fire", "Clock tick", "dog_bark", "rain", "", "fire_crackling"], pool)
    assert found[5].tolist() == found[0].tolist()
    assert found[0].tolist() == pytest.approx([2 / 5**0.5, 1 / 5**0.5, 0, 0, 0, 0], abs=1e-5)
    assert found[1].tolist() == [0, 0, 0, 1, 0, 0], "an alarm clock shares the lesser word: a fifth"
    assert found[2].tolist() == pytest.approx([0, 0, 0, 0, 1 / 5**0.5, 0], abs=1e-5)
    assert not found[3].any() and not found[4].any()


def test_every_class_of_esc10_finds_its_own_sounds():
    from tasks.synthesize_captioned.everyday.catalogue import NAMED
    from tasks.synthesize_captioned.families import FAMILIES

    pool = sorted({*NAMED, *FAMILIES})
    found = word_cosines(list(ESC10), pool)
    assert {label: pool[int(row.argmax())] for label, row in zip(ESC10, found, strict=True)} == ESC10


def test_clips_are_shared_out_once_each_and_a_small_pool_gives_fewer():
    similarity = np.array([[1, 1, 1, 0.5, 0], [1, 1, 1, 0.5, 0], [0, 0, 0, 0, 0.0]])
    chosen = shared_out(similarity, 3, unique=True)
    assert sorted(column for row in chosen for column in row) == [0, 1, 2, 3] and chosen[2] == []
    assert shared_out(similarity, 3, unique=False) == [[0, 1, 2], [0, 1, 2], []]


def test_by_words_needs_no_model_and_leaves_other_labels_alone(tmp_path):
    gold = [clip(tmp_path, GOLD, f"g{n}", noise(n), label=label) for n, label in enumerate(["barking_dog", "barking_dog", "wind"])]
    pool = "stages/prepare/named"
    named = [clip(tmp_path, pool, f"p{n}", noise(100 + n), label=label) for n, label in enumerate(["dog", "dog", "dog", "rain"])]
    manifest.write(tmp_path / GOLD, manifest.frame(gold))
    manifest.write(tmp_path / PREPARED, manifest.frame(gold))
    manifest.write(tmp_path / pool, manifest.frame(named))
    result, table = retrieved(tmp_path, pool=pool, by="words", per_clip=2)
    assert {tuple(row.parents) for row in table.itertuples()} == {("g0", "p0"), ("g0", "p1"), ("g1", "p2")}
    assert set(table["label"]) == {"barking_dog"} and result.clips == 3 and result.mean_cosine == pytest.approx(2 / 5**0.5, abs=1e-5)
    with pytest.raises(InvalidValueError, match="neither for words"):
        Request(GOLD, pool, "stages/train_clap/aa", settings=Settings(by="words"))
