"""Two versions side by side."""

import json

from core import manifest
from core.datasets.comparison import as_json, as_text, diff
from core.datasets.versions import publish
from tests import datasets as toy


def edited(root, folder, target, edit):
    """Copy a manifest to another folder, its rows changed."""
    rows = manifest.read(root / folder).to_dict("records")
    manifest.write(root / target, manifest.frame(edit(rows)))
    return target


def test_added_removed_and_changed_clips_counts_scores_and_facts(tmp_path):
    gold, made = toy.gold(tmp_path), toy.made(tmp_path)
    old, _ = publish(tmp_path, "set", "csv", [gold, made], facts={"accuracy": {"gold": 0.5}, "fad": 1.5})

    def edit(rows):
        rows[0]["caption"], rows[0]["label"] = "a bark", "cat"
        return rows[:-2]  # the last one is rejected in both, the one before is gone

    louder = toy.made(tmp_path, 3, "stages/generate/" + "c" * 20)
    new, _ = publish(
        tmp_path, "set", "csv", [edited(tmp_path, gold, "stages/prepare/x", edit), louder], facts={"accuracy": {"gold": 0.625}}
    )
    found = diff(old, new)
    assert (found.old, found.new, found.clips) == (old.name, new.name, (8, 8))
    assert found.added == (manifest.clip_id("made", 2),) and found.removed == (manifest.clip_id("gold", 5),)
    assert found.changed == {manifest.clip_id("gold", 0): ("label", "caption")}
    assert found.by_label == {"cat": (0, 1), 'he said "hi", ünd_так': (3, 2)} and found.by_split["test"] == (2, 1)
    assert found.by_origin == {"generate": (2, 3), "gold": (6, 5)} and found.scores == {"clap_cosine": (0.375, 0.5)}
    assert found.facts == {"accuracy.gold": (0.5, 0.625), "fad": (1.5, None)} and found.duration_s == (0.8, 0.8)
    text, value = as_text(found), as_json(found)
    assert "1 clips added, 1 removed, 1 changed" in text and "+0.125" in text and f"{manifest.clip_id('gold', 0)} (label, caption)" in text
    assert json.loads(json.dumps(value))["scores"]["clap_cosine"] == [0.375, 0.5] and not value["same"]


def test_the_same_clips_in_another_form_and_place_are_the_same(tmp_path):
    gold = toy.gold(tmp_path)
    versions = [publish(tmp_path, form, form, [gold])[0] for form in ("csv", "audiofolder", "webdataset", "lhotse")]
    for other in versions[1:]:
        found = diff(versions[0], other)
        assert found.same and found.by_label == {} and as_json(found)["same"]
