"""Presets of a set that render_presets made, listed as evaluate_preset_encoder lists them, are played as they were."""

import json
import shutil

import numpy as np
import pytest

from core import atomic, audio
from core.context import Context
from core.errors import InvalidValueError
from tasks.play_presets import stage
from tasks.play_presets.spec import Request, Settings
from tasks.presets.reading import open_presets
from tasks.render_presets import stage as rendering
from tasks.render_presets.spec import Request as Rendering
from tasks.render_presets.spec import Settings as Rendered

SET, OTHER, LISTED = "stages/render_presets/aa", "stages/render_presets/bb", "stages/evaluate_preset_encoder/aa"


def nearest(*rows):
    return [{"name": f"preset {row}", "row": row, "distance": 0.5 * place} for place, row in enumerate(rows)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    settings = {"synth": "builtin_voice", "n": 5, "duration_s": 0.3, "hold_s": 0.2, "audio_clips": -1, "audio_type": "float32",
                "max_lost_share": 1.0, "audio_model": "", "sample_rate_hz": 16000, "notes": (48, 72), "split": "test"}  # fmt: skip
    for folder, seed in ((SET, 3), (OTHER, 4)):
        context = Context(root / folder, root, final=folder, emit=lambda *_: None)
        context.output.mkdir(parents=True)
        request = Rendering(Rendered(**settings, seed=seed), shards=1)
        rendering.run_shards(request, context, [0])
        rendering.run(request, context)
    audio.write(root / "mine/deep/own.wav", 0.5 * np.sin(np.arange(44100) / 20).astype(np.float32), 44100)
    listed = {
        "sampled": [{"sound_of": "preset 0", "row": 0, "rank_of_own_preset": 2.0, "nearest": nearest(1, 0, 2)},
                    {"sound_of": "preset 3", "row": 3, "rank_of_own_preset": 1.0, "nearest": nearest(3)}],
        "hand_crafted": [{"sound_of": "hand", "row": 1, "rank_of_own_preset": 1.0, "nearest": nearest(1, 2)}],
        "sounds": [{"file": "deep/own.wav", "nearest": {"sampled": nearest(2, 1), "hand_crafted": nearest(0)}}],
    }  # fmt: skip
    atomic.write_json(root / LISTED / "nearest.json", listed)
    return root


def played(root, name, **changed):
    output = root / "stages/play_presets" / name
    output.mkdir(parents=True)
    fields = {"hand_crafted": OTHER, "sounds": str(root / "mine"), "settings": Settings(sounds=8, nearest=2), **changed}
    result = stage.run(Request(LISTED, SET, **fields), Context(output, root, emit=lambda *_: None))
    return result, output, json.loads((output / "sounds.json").read_text())


def test_every_listed_preset_is_played_once_as_it_was_rendered(root):
    result, output, told = played(root, "whole")
    assert (result.presets, result.failed, result.files) == (7, 0, 1) and told["failed"] == {}
    assert len(list((output / "sounds").iterdir())) == 8
    for one in told["lookups"]:
        for entry in (one, *one["nearest"]):
            samples, rate = audio.read(output / entry["sound"])
            if entry["set"]:
                wanted = open_presets(root / (SET if entry["set"] == "sampled" else OTHER)).audio[entry["row"]]
                wanted = wanted * min(1.0, stage.PEAK / np.abs(wanted).max())
                assert rate == 16000 and np.abs(samples[0] - wanted).max() < 1e-4, "the note of each preset is its own"
    first, last = told["lookups"][0], told["lookups"][-1]
    assert [entry["row"] for entry in first["nearest"]] == [1, 0] and first["rank_of_own_preset"] == 2.0
    assert last["set"] == "" and [(entry["set"], entry["row"]) for entry in last["nearest"]] == [("sampled", 2), ("hand_crafted", 0)]
    assert audio.read(output / last["sound"])[0].shape == (1, 4800)


def test_few_are_played_where_few_are_asked_for(root):
    result, _, told = played(root, "few", hand_crafted="", sounds="", settings=Settings(sounds=1, nearest=1))
    listed = [(one["set"], one["row"], [entry["row"] for entry in one["nearest"]]) for one in told["lookups"] if one["set"] == "sampled"]
    assert listed == [("sampled", 0, [1])] and result.presets == 2


def test_another_synthesiser_than_the_sets_is_refused(root, tmp_path):
    shutil.copytree(root / SET, root / "stages/render_presets/cc")
    meta = json.loads((root / SET / "presets.json").read_text())
    meta["plugin"] = {**meta["plugin"], "host": "torch 1.0"}
    atomic.write_json(root / "stages/render_presets/cc/presets.json", meta)
    output = root / "stages/play_presets/refused"
    output.mkdir(parents=True)
    with pytest.raises(InvalidValueError, match="another plug-in"):
        stage.run(Request(LISTED, "stages/render_presets/cc"), Context(output, root, emit=lambda *_: None))
