"""What is owed to whom: read from tables, carried through stages, joined, and taken apart again."""

import json

import pytest

from core import attribution, manifest
from core.datasets.lineage import credits_of, recordings
from tests import datasets as toy


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"license": "CC0", "Artist": "a ", "url": "http://x"}, {"licence": "CC0", "author": "a", "source": "http://x"}),
        ({"username": "b", "licence": " "}, {"author": "b"}),
        ({"title": "a song", "source": "a place"}, {}),  # says neither by whom nor on which terms
        ({}, {}),
    ],
)
def test_rows_that_name_a_licence_or_an_author_are_credits(row, found):
    assert attribution.credit(row) == found


def test_joined_credits_come_apart_again_in_order():
    one, two = {"licence": "CC0", "author": "a"}, {"licence": "CC-BY", "title": "t"}
    row = attribution.joined([one, two, one, {}])
    assert row == {"licence": "CC0 | CC-BY", "author": "a | ?", "title": "? | t", "source": "? | ?", "licence_url": "? | ?"}
    assert [item["licence"] for item in attribution.apart(row)] == ["CC0", "CC-BY"]
    assert attribution.apart(attribution.joined([])) == []
    assert attribution.apart(attribution.joined([one])) == [{**dict.fromkeys(attribution.COLUMNS, ""), **one}]


def test_clips_of_a_published_dataset_keep_their_recordings_apart(tmp_path):
    one, two = {"licence": "CC0", "author": "a"}, {"licence": "CC-BY-NC", "licence_url": "http://x/licenses/by-nc/4.0/"}
    row = attribution.joined([one, two])
    own = attribution.credit(row)  # as prepare reads it from clips.csv
    assert attribution.joined(recordings(own)) == row
    assert recordings({"licence": "CC0", "title": "rain | hail"}) == [{"licence": "CC0", "title": "rain | hail"}]
    rows = [manifest.row("1", "x/1.flac", "gold", parameters={"attribution": own})]
    manifest.write(tmp_path / "stages/prepare/1", manifest.frame(rows))
    assert credits_of(tmp_path, ["stages/prepare/1"], ["1"])["licence"][0] == "CC0 | CC-BY-NC"


def test_synthetic_clips_inherit_from_gold_clips_that_are_no_source_themselves(tmp_path):
    toy.gold(tmp_path)
    ids = [manifest.clip_id("made", number) for number in range(2)]
    found = credits_of(tmp_path, [toy.made(tmp_path)], ids)
    assert list(found["licence"]) == ["CC0 | CC-BY", "CC0 | CC-BY-NC"]
    assert found["author"][1] == "nfrae | c"


def test_the_way_up_passes_stages_without_manifests_and_ends_in_circles(tmp_path):
    toy.gold(tmp_path)
    middle = "stages/caption/" + "c" * 20
    (tmp_path / middle).mkdir(parents=True)
    (tmp_path / middle / "done.json").write_text(json.dumps({"identity": {"request": {"gold": [toy.GOLD], "self": middle}}}))
    made = toy.made(tmp_path, source=middle)
    assert credits_of(tmp_path, [made], [manifest.clip_id("made", 0)])["licence"][0] == "CC0 | CC-BY"
    rows = [manifest.row(name, f"x/{name}.flac", "generate", parents=[other]) for name, other in (("1", "2"), ("2", "1"))]
    manifest.write(tmp_path / "stages/x/1", manifest.frame(rows))
    assert list(credits_of(tmp_path, ["stages/x/1"], ["1", "unknown"])["licence"]) == ["", ""]
