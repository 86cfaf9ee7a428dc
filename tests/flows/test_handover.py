"""Copies of the results land where a person said, once, and never on top of other files."""

import csv
from types import SimpleNamespace

import pytest

from core import audio, manifest
from core.graph import FlowPlan
from core.store import Store
from flows.synthio.handover import finish


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A data root with two gold clips, three generated ones (one rejected), and a tuned model; the caller stands in another folder."""
    import numpy as np

    root, caller = tmp_path / "data", tmp_path / "caller"
    caller.mkdir()
    monkeypatch.setenv("SYNTHLOOM_CWD", str(caller))
    for stage, origin, count in (("stratify", "gold", 2), ("clap_filter", "generate", 3)):
        rows = []
        for number in range(count):
            path = f"stages/{stage}/aa/{number}.wav"
            audio.write(root / path, np.full(800, 0.1 * number, np.float32), 16000)
            status = "rejected" if number == 2 else "accepted"
            rows.append(manifest.row(f"{stage}{number}", path, origin, label="a", split="train", status=status))
        manifest.write(root / "stages" / stage / "aa", manifest.frame(rows))
    weights = root / "stages/align_text_to_audio/aa/model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    steps = [SimpleNamespace(stage=SimpleNamespace(name=name), output=f"stages/{name}/aa", label=label)
             for name, label in (("stratify", "stratify"), ("align_text_to_audio", "align_text_to_audio seed"))]  # fmt: skip
    plan = FlowPlan(steps, "t", "esc50", "stages/report/aa", ["stages/stratify/aa", "stages/clap_filter/aa"])

    def run(plan=plan, **wanted):
        settings = {"export_to": "", "export_csv": "", "keep_models_in": "", **wanted}
        return finish(SimpleNamespace(dataset=SimpleNamespace(name="esc50"), sizes=(200,), **settings), plan, Store(root))

    return SimpleNamespace(run=run, caller=caller, plan=plan, root=root, steps=steps)


def table(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_nothing_asked_nothing_done(house):
    assert house.run() == "" and not list(house.caller.iterdir())


def test_synthetic_clips_table_and_model_land_in_the_callers_folders(house):
    said = house.run(export_to="./synthetic/", export_csv="tables", keep_models_in="models/")
    sounds = table(house.caller / "synthetic/clips.csv")
    assert [row["clip_id"] for row in sounds] == ["clap_filter0", "clap_filter1"], "accepted synthetic clips only"
    assert all((house.caller / "synthetic" / row["path"]).is_file() for row in sounds)
    rows = table(house.caller / "tables/clips.csv")
    assert [row["origin"] for row in rows] == ["generate"] * 2 + ["gold"] * 2
    assert (house.caller / "models/esc50_200.safetensors").read_bytes() == b"weights"
    assert said.splitlines() == [
        f"2 clips → {house.caller / 'synthetic'}", f"4 clips → {house.caller / 'tables'}",
        f"tuned model → {house.caller / 'models/esc50_200.safetensors'}",
    ]  # fmt: skip


def test_again_copies_nothing_until_the_results_are_others(house):
    wanted = {"export_to": "synthetic", "keep_models_in": "models"}
    house.run(**wanted)
    before = {path: path.stat().st_mtime_ns for path in house.caller.rglob("*") if path.is_file()}
    assert house.run(**wanted).count("already") == 2
    assert {path: path.stat().st_mtime_ns for path in house.caller.rglob("*") if path.is_file()} == before
    other = FlowPlan(house.steps, "t", "esc50", "stages/report/aa", ["stages/stratify/aa"])
    assert "0 clips →" in house.run(other, export_to="synthetic") and not (house.caller / "synthetic/train").exists()
    (house.root / "stages/align_text_to_audio/aa/model.safetensors").write_bytes(b"retrained")
    house.run(keep_models_in="models")
    assert (house.caller / "models/esc50_200.safetensors").read_bytes() == b"retrained"


def test_folders_with_other_files_are_left_alone_and_said_so(house):
    (house.caller / "mine").mkdir()
    (house.caller / "mine/thesis.txt").write_text("keep me")
    (house.caller / "file").write_text("keep me, too")
    for name in ("mine", "file"):
        assert "holds other files" in house.run(export_to=name)
    assert (house.caller / "mine/thesis.txt").read_text() == "keep me" and [*(house.caller / "mine").iterdir()] == [
        house.caller / "mine/thesis.txt"
    ]
    (house.caller / "empty").mkdir()
    assert "2 clips →" in house.run(export_to="empty")


def test_several_models_are_told_apart(house):
    more = [*house.steps, SimpleNamespace(stage=SimpleNamespace(name="align_text_to_audio"), output="stages/align_text_to_audio/aa",
                                          label="align_text_to_audio seed, n=50, draw 1")]  # fmt: skip
    house.run(FlowPlan(more, "t", "esc50", "stages/report/aa", []), keep_models_in="m")
    names = {path.name for path in (house.caller / "m").iterdir()}
    assert names == {"esc50_200_seed.safetensors", "esc50_200_seed_n=50_draw_1.safetensors"}
