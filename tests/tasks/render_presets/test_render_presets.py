import dataclasses
import json
from collections import deque

import numpy as np
import pytest

from core import keys
from core.context import Context
from core.contract import build
from core.errors import InvalidValueError
from tasks.audio_models.opening import open_audio_model
from tasks.presets import hand_crafted, library, reading
from tasks.render_presets import joining, rendering, stage
from tasks.render_presets.plan import chosen_note
from tasks.render_presets.spec import Request, Settings
from tasks.renderer.interface import PluginParameter
from tasks.renderer.pool import Outcome

AMSYNTH = library.load_spec("amsynth")
SMALL = {"synth": "amsynth", "n": 150, "duration_s": 0.1, "fade_s": 0.0, "hold_s": 0.05, "sample_rate_hz": 8000, "audio_model": ""}
RATE = {one.name: one.index for one in AMSYNTH.parameters}


class FakePool:
    """Plays a tone whose level is ``amp_attack`` and whose pitch is ``lfo_freq``; certain values of ``osc_mix`` break it."""

    rendered: list = []  # noqa: RUF012 - of all pools of a test

    def __init__(self, samples, ahead=4, version="1"):
        self.samples, self.ahead, self.version = samples, ahead, version

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def parameters(self):
        return [PluginParameter(one.index, one.name, one.default) for one in AMSYNTH.parameters]

    def identity(self):
        return {"name": "fake", "version": self.version}

    def render(self, jobs):
        pending = deque()
        for job in jobs:
            pending.append(job)
            if len(pending) >= self.ahead:
                yield self.outcome(pending.popleft())
        while pending:
            yield self.outcome(pending.popleft())

    def outcome(self, job):
        self.rendered.append(job.id)
        assert set(job.raw) == {one.index for one in AMSYNTH.parameters}, "pinned parameters are set too"
        mix = job.raw[RATE["osc_mix"]]
        for limit, status, reason in ((0.01, "crash", "SIGSEGV"), (0.02, "hang", "no answer"), (0.04, "error", rendering.NOT_FINITE)):
            if mix < limit:
                return Outcome(job.id, None, status, reason)
        tone = tone_of(job.raw[RATE["amp_attack"]], job.raw[RATE["lfo_freq"]], self.samples)
        return Outcome(job.id, tone, "ok")


def tone_of(level, pitch, samples):
    return np.float32(1.6 * level * np.sin(2 * np.pi * (200 + 3000 * pitch) * np.arange(samples) / 8000))


@pytest.fixture(autouse=True)
def _fake_pool(monkeypatch):
    FakePool.rendered = []
    monkeypatch.setattr(stage, "open_pool", lambda request, context, spec, rate: FakePool(round(request.settings.duration_s * rate)))


def made(root, name="set", shards=3, **settings):
    request = Request(Settings(**{**SMALL, **settings}), shards=shards)
    context = context_of(root, name)
    stage.run_shards(request, context, list(range(shards)))
    return stage.run(request, context), reading.open_presets(context.output)


def context_of(root, name):
    output = root / "stages" / name
    output.mkdir(parents=True, exist_ok=True)
    return Context(output, root, final=f"stages/{name}", emit=lambda kind, values: None)


def first_good(number, seed=0):
    """Work out by hand which draw of a number is kept, and which number is lost."""
    for attempt in range(100):
        row = AMSYNTH.redraw(seed, number, attempt)
        raw = dict(zip((one.name for one in AMSYNTH.used), AMSYNTH.raw(row)[0], strict=True))
        if raw["osc_mix"] < np.float32(0.02):
            return None, attempt + 1
        tone = tone_of(float(raw["amp_attack"]), float(raw["lfo_freq"]), 800)
        rms = np.linalg.norm(tone.astype(np.float64)) / np.sqrt(800)
        if raw["osc_mix"] >= np.float32(0.04) and 0.01 < rms < 1:
            return row, attempt + 1
    raise AssertionError


def test_a_set_holds_the_first_audible_draw_of_every_number(tmp_path):
    result, found = made(tmp_path, max_lost_share=0.2, audio_clips=40, audio_type="float32")
    table, lost = found.table, found.rejected
    assert sorted([*table["index"], *lost["index"]]) == list(range(150)) and list(table["index"]) == sorted(table["index"])
    for number, row, tries in zip(table["index"], found.parameters, table["tries"], strict=True):
        expected, expected_tries = first_good(number)
        assert np.array_equal(row, expected) and tries == expected_tries
    assert len(lost) == result.rejected == result.crashed > 0 and result.draws == len(FakePool.rendered) > 150
    for row in lost.to_dict("records"):
        assert first_good(row["index"]) == (None, row["tries"]) and row["reason"] in ("crash: SIGSEGV", "hang: no answer")
        told = json.loads(row["parameters"])
        assert set(told) == {one.name for one in AMSYNTH.used} and told["osc_mix"] < 0.02, "quarantined with its parameters"
    kept = int((table["index"] < 40).sum())
    assert found.audio.shape == (kept, 800) and found.audio.dtype == np.float32 and result.kept_sounds == kept
    rms = np.sqrt(np.mean(np.square(found.audio, dtype=np.float64), axis=1))
    assert np.allclose(rms, table["rms"][:kept], rtol=1e-4) and (table["rms"] > 0.01).all() and (table["rms"] < 1).all()
    assert found.embeddings is None and result.dimensions == 0 and set(table["split"]) == {"train"}


def test_neither_shards_nor_look_ahead_nor_the_number_of_presets_change_a_preset(tmp_path, monkeypatch):
    _, few = made(tmp_path, "few", n=90, shards=1, max_lost_share=0.2, audio_clips=-1)
    monkeypatch.setattr(stage, "open_pool", lambda *rest: FakePool(800, ahead=13))
    _, many = made(tmp_path, "many", n=150, shards=12, max_lost_share=0.2, audio_clips=-1)
    rows = len(few)
    assert np.array_equal(few.parameters, many.parameters[:rows]) and np.array_equal(few.audio, many.audio[:rows])
    assert few.table.drop(columns="row").equals(many.table.drop(columns="row")[:rows])
    _, later = made(tmp_path, "later", n=20, first=130, max_lost_share=0.5)
    assert np.array_equal(later.parameters, many.parameters[(many.table["index"] >= 130).to_numpy()])
    _, other = made(tmp_path, "other", n=90, seed=1, max_lost_share=0.2)
    assert not np.array_equal(other.parameters[:50], few.parameters[:50])


def test_embeddings_are_those_of_the_sounds(tmp_path):
    result, found = made(
        tmp_path, n=12, sample_rate_hz=0, duration_s=0.2, audio_model="mel", audio_clips=-1, audio_type="float32", mel_clips=5,
        max_lost_share=1.0,
    )  # fmt: skip
    import torch

    expected = open_audio_model("mel")(torch.from_numpy(np.array(found.audio)))
    assert found.embeddings.shape == (result.rows, 256) and np.allclose(found.embeddings, expected.numpy(), atol=1e-6)
    assert found.meta["sample_rate_hz"] == 32000 and found.meta["audio_model"] == "mel" and found.meta["dimensions"] == 256
    kept = int((found.table["index"] < 5).sum())
    assert found.mel.shape == (kept, 128, 1 + 6400 // 512) and found.mel.dtype == np.float16
    told = json.loads((found.folder / "mel_statistics.json").read_text())
    levels = found.mel.astype(np.float64)
    assert told["clips"] == kept and told["mean"] == pytest.approx(levels.mean()) and told["std"] == pytest.approx(levels.std())
    assert (told["min"], told["max"]) == (levels.min(), levels.max())


def test_an_interrupted_run_goes_on_and_gaps_are_found(tmp_path, monkeypatch):
    _, expected = made(tmp_path, "expected", max_lost_share=0.2)
    request = Request(Settings(**SMALL, max_lost_share=0.2), shards=3)
    context = context_of(tmp_path, "cut")
    outcome = FakePool.outcome
    monkeypatch.setattr(FakePool, "outcome", lambda self, job: outcome(self, job) if job.id[0] < 120 else pytest.fail("cut off"))
    with pytest.raises(pytest.fail.Exception):
        stage.run_shards(request, context, [0, 1, 2])
    assert [context.shard_is_done(shard) for shard in range(3)] == [True, True, False]
    monkeypatch.setattr(FakePool, "outcome", outcome)
    stage.run_shards(request, context, [2])
    stage.run(request, context)
    for name in ("parameters.npy", "table.parquet", "presets.json", "rejected.parquet"):
        assert keys.file_digest(context.output / name) == keys.file_digest(expected.folder / name), name
    folders = [context.shard_folder(shard) for shard in range(3)]
    ordered, _ = joining.ordered(folders[::-1], range(150))
    assert ordered == folders, "by their numbers, not their names"
    with pytest.raises(InvalidValueError, match="missing or double"):
        joining.ordered([folders[0], folders[2]], range(150))
    with pytest.raises(InvalidValueError, match="last numbers"):
        joining.ordered(folders[:2], range(150))
    monkeypatch.setattr(stage, "open_pool", lambda *rest: FakePool(800, version="2"))
    (folders[1] / "shard.json").unlink()
    stage.run_shards(request, context, [1])
    with pytest.raises(InvalidValueError, match="made otherwise"):
        stage.run(request, context)


def test_hand_made_presets_are_filtered_and_split(tmp_path):
    values = AMSYNTH.sample(9, 0, 60)
    raw = [dict(zip((one.name for one in AMSYNTH.used), row.tolist(), strict=True)) for row in AMSYNTH.raw(values)]
    for number, row in enumerate(raw):
        row |= {"osc_mix": 0.0 if number == 7 else 0.5, "amp_attack": 0.0 if number < 5 else 0.3}
    raw.append(dict(raw[20]))
    (tmp_path / "mine.json").write_text(json.dumps({str(k): {"meta": {"labels": ["pad"]}, "parameters": row} for k, row in enumerate(raw)}))
    result, found = made(tmp_path, presets=str(tmp_path / "mine.json"), seed=42)
    table = found.table
    assert result.rows == 54 and result.rejected == 6 and result.crashed == 1 and result.removed == 1 and result.draws == 60
    assert table["name"].tolist() == found.meta["names"] and table["name"].str.startswith("mine.json 5").any()
    assert json.loads(table["labels"].iloc[0]) == ["pad"] and found.meta["names"][0] == "mine.json 5"
    assert (table["split"] == "test").sum() == 5
    assert table["split"].tolist() == hand_crafted.splits(np.asarray(found.parameters), 42, 0.1)
    removed = {row["name"]: row["reason"] for row in json.loads((found.folder / "removed.json").read_text())}
    assert removed == {
        "mine.json 60": "duplicate", "mine.json 7": "crash: SIGSEGV", **{f"mine.json {k}": "too soft" for k in range(5)},
    }  # fmt: skip
    kept = json.loads((found.folder / "kept.json").read_text())
    assert [row["name"] for row in kept] == table["name"].tolist() and found.meta["origin"] == "hand_crafted"
    assert np.array_equal(found.parameters[0], hand_crafted.fitted(AMSYNTH, hand_crafted.read(tmp_path / "mine.json")).values[5])


def test_too_many_losses_end_the_run(tmp_path):
    with pytest.raises(InvalidValueError, match="max_lost_share"):
        made(tmp_path, n=2000, shards=1, max_lost_share=0.001)
    assert len(FakePool.rendered) < 2000, "early"
    with pytest.raises(InvalidValueError, match="max_lost_share"):
        made(tmp_path, "silent", n=20, shards=1, max_tries=3, min_rms=0.99, max_lost_share=0.5)
    assert max(attempt for _, attempt in FakePool.rendered[-20:]) == 2, "three tries, no more"
    with pytest.raises(InvalidValueError, match="no preset is left"):
        made(tmp_path, "nothing", n=5, shards=1, max_tries=1, min_rms=0.99, max_lost_share=1.0)


def test_notes_and_velocities_are_drawn_by_preset(tmp_path):
    result, found = made(tmp_path, notes=(48, 60, 72), velocities=(40, 100), max_lost_share=0.2)
    settings = Settings(**SMALL, notes=(48, 60, 72), velocities=(40, 100))
    for row in found.table.to_dict("records"):
        note = chosen_note(settings, row["index"])
        assert (row["note"], row["velocity"]) == (note.pitch, note.velocity)
    assert set(found.table["note"]) == {48, 60, 72} and set(found.table["velocity"]) == {40, 100}
    assert found.table["note"].value_counts().min() > result.rows / 5
    assert found.meta["midi"] == {"notes": [48, 60, 72], "velocities": [40, 100], "hold_s": 0.05}


def test_a_draft_of_probe_synth_and_its_verdict(tmp_path):
    folder = tmp_path / "stages" / "probe_synth" / "0123456789abcdef0123"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(dataclasses.replace(AMSYNTH, name="mine", backend="fake").to_json()))
    (folder / "synth.json").write_text(json.dumps({"repeatability": {"kind": "deterministic"}}))
    _, found = made(tmp_path, n=5, spec="stages/probe_synth/0123456789abcdef0123", max_lost_share=1.0)
    assert found.spec.name == "mine" and found.meta["repeatability"] == {"kind": "deterministic"} and found.meta["backend"] == "fake"
    assert found.meta["plugin"]["version"] == "1" and found.meta["plugin"]["settings"]["initialization_timeout_s"] == 0
    _, other = made(tmp_path, "other", n=5, spec=str(folder / "spec.json"), buffer_samples=64, max_lost_share=1.0)
    assert other.meta["repeatability"] is None
    with pytest.raises(InvalidValueError, match="buffer_samples"):
        reading.check_agreement(found, other)


def test_a_spec_of_another_plug_in_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="no such parameters"):
        made(tmp_path, synth="dexed")
    with pytest.raises(InvalidValueError, match="mel listens at another rate"):
        made(tmp_path, audio_model="mel")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"synth": "dexed", "n": 0}, "n"), ({"notes": []}, "notes"), ({"notes": [128]}, "notes"), ({"velocities": [0]}, "velocities"),
        ({"plugin": "a.vst3", "uri": "urn:x"}, "uri"), ({"min_rms": 2.0}, "min_rms"), ({"backend": "vst"}, "backend"),
        ({"audio_model": "", "audio_weights": "x"}, "audio_model"), ({"duration_s": 0.05}, "fade_s"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused(wrong, said):
    with pytest.raises(InvalidValueError, match=said):
        build(Request, {"settings": wrong})


def test_defaults_are_synth_proxys():
    one = Settings()
    assert (one.notes, one.velocities, one.hold_s, one.duration_s, one.fade_s) == ((60,), (100,), 2.0, 5.0, 0.1)
    assert (one.min_rms, one.max_rms, one.synth) == (0.01, 1.0, "dexed")
    assert {item.name for item in dataclasses.fields(Request)} == {"settings", "shards", "workers", "recycle_renders", "recycle_mb"}
