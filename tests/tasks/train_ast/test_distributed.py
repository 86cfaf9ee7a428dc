"""Two real ranks with gloo, started the way the engine starts them, against one process."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from core import audio, events, manifest
from core.context import Context
from core.contract import to_dict
from core.errors import InvalidValueError
from tasks.ast_classifier import training
from tasks.train_ast import stage
from tasks.train_ast.spec import Request, Settings
from tasks.training import distributed
from tasks.training.dropout import WholeBatchDropout

ROOT = Path(__file__).resolve().parents[3]
HELPER = Path(__file__).with_name("on_ranks.py")
STEPS = 24


def torchrun(*words, bytecode, limit_s=240):
    """Start ranks as the engine does; returns (exit code, events, everything else that was printed)."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SYNTHLOOM_CHILD": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if not list(Path(torch.__file__).with_name("__pycache__").glob("*.pyc")):
        # Compiling torch and transformers takes longer than everything that is tested here; do it once for all ranks.
        environment |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(bytecode)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *map(str, words)]
    process = subprocess.Popen(
        command, env=environment, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    timer = threading.Timer(limit_s, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        lines = process.stdout.read().split("\n")  # splitlines() would also split at the marker of an event
        code = process.wait()
    finally:
        timer.cancel()
        process.stdin.close()
    found = [event for event in map(events.decode, lines) if event]
    return code, found, "\n".join(line for line in lines if events.decode(line) is None)


@pytest.fixture(scope="module")
def bytecode(tmp_path_factory):
    return tmp_path_factory.mktemp("bytecode")


def sound(kind, rng):
    times = np.arange(8000) / 16000
    if kind == "noise":
        return (0.1 * rng.standard_normal(len(times))).astype(np.float32)
    low, high = (100, 250) if kind == "low" else (3000, 5000)
    return (0.2 * np.sin(2 * np.pi * rng.uniform(low, high) * times)).astype(np.float32)


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    """Gold clips, generated clips, and validation and test clips, of three kinds of sound."""
    root = tmp_path_factory.mktemp("data")
    for folder, sizes in (("caption", {"train": 4}), ("clap_filter", {"train": 3}), ("prepare", {"val": 4, "test": 5})):
        rows, rng = [], np.random.default_rng(len(folder))
        for split, count in sizes.items():
            for kind in ("low", "high", "noise"):
                for number in range(count):
                    path = f"stages/{folder}/aa/{split}{kind}{number}.wav"
                    audio.write(root / path, sound(kind, rng), 16000)
                    name = manifest.clip_id(folder, split, kind, number)
                    rows.append(manifest.row(name, path, "gold", label=kind, split=split, duration_s=0.5))
        manifest.write(root / "stages" / folder / "aa", manifest.frame(rows))
    return root


AUGMENTED = {"mixup": 0.5, "roll": 0.5, "gain_db": 10.0, "masked_frames": 24, "masked_mels": 16}
CONTRASTIVE = {"supcon": "two_stage", "supcon_steps": 4, "supcon_clips": 5, "supcon_views": 3, "steps": 4}


def request(ranks=1, **options):
    """Seven clips a step: never the same number on both ranks. Dropout as in the preset, and every augmentation."""
    settings = Settings(**{"steps": STEPS, "batch_clips": 7, "evaluate_every": 4, "num_devices": ranks, **AUGMENTED, **options})
    return Request(("stages/caption/aa", "stages/clap_filter/aa"), "stages/prepare/aa", 3, settings)


def alone(root, name, emit=lambda kind, values: None, **options):
    output = root / "stages/train_ast" / name
    output.mkdir(parents=True, exist_ok=True)
    return to_dict(stage.run(request(**options), Context(output, root, threads=1, emit=emit))), output


def on_two(root, name, bytecode, *entry, **options):
    output = root / "stages/train_ast" / name
    path = root / f"{name}.json"
    path.write_text(json.dumps(to_dict(request(2, **options))))
    entry = entry or ("-m", "core.host")
    code, seen, text = torchrun(*entry, "tasks.train_ast", path, "--output", output, "--data-root", root, bytecode=bytecode)
    return code, seen, text, output


@pytest.fixture(scope="module")
def whole(data_root):
    """The run of one process that nothing disturbs."""
    return alone(data_root, "whole")


def assert_same_training(output, result, whole, apart_at_most=1e-4):
    """Compare with the run of one process: the same decisions, numbers equal within rounding."""
    expected, reference = whole
    assert result["best_step"] == expected["best_step"] and result["confusion"] == expected["confusion"]
    assert result == expected
    curve, curve_there = (json.loads((folder / "curves.json").read_text()) for folder in (output, reference))
    assert [point["step"] for point in curve] == [point["step"] for point in curve_there]
    for name in ("loss", "val_accuracy", "val_loss"):
        assert [point[name] for point in curve] == pytest.approx([point[name] for point in curve_there], abs=1e-4), name
    table, table_there = (pd.read_parquet(folder / "predictions.parquet") for folder in (output, reference))
    assert table["predicted"].tolist() == table_there["predicted"].tolist() and table["clip_id"].tolist() == table_there["clip_id"].tolist()
    columns = [name for name in table if name.startswith("p_")]
    assert np.allclose(table[columns], table_there[columns], atol=1e-4)
    weights, weights_there = (load_file(folder / "model.safetensors") for folder in (output, reference))
    assert weights.keys() == weights_there.keys()
    apart = {name: float((part - weights_there[name]).abs().max()) for name, part in weights.items()}
    # A key's bias adds the same to all scores of a query, so softmax and loss do not see it: its gradient is rounding noise, which Adam
    # blows up to steps of any size.
    apart = {name: value for name, value in apart.items() if not name.endswith("k_proj.bias")}
    assert max(apart.values()) < apart_at_most, sorted(apart.items(), key=lambda item: -item[1])[:4]
    assert not list(output.glob(f"*{training.CHECKPOINT}*"))


@pytest.fixture(scope="module")
def two_and_one(tmp_path_factory, bytecode):
    """What each of two ranks, and a single process, found."""
    sys.path.insert(0, str(HELPER.parent))
    try:
        import on_ranks
    finally:
        sys.path.remove(str(HELPER.parent))
    folder = tmp_path_factory.mktemp("math")
    code, _, text = torchrun(HELPER, "math", folder, bytecode=bytecode)
    assert code == 0, text
    return [torch.load(folder / f"rank-{number}.pt") for number in range(2)], on_ranks.everything()


def assert_equal_gradients(found, expected):
    assert [part is None for part in found] == [part is None for part in expected]
    for one, other in zip(found, expected, strict=True):
        assert one is None or torch.allclose(one, other, rtol=1e-12, atol=1e-14)


def test_averaged_gradients_are_the_whole_batchs_also_with_uneven_and_empty_parts(two_and_one):
    ranks, single = two_and_one
    for size, (expected, loss) in single["mean"].items():
        assert any(part is None for part in expected), "an unused parameter has no gradient, so no weight decay either"
        for found in ranks:
            assert_equal_gradients(found["mean"][size][0], expected)
            assert found["mean"][size][1] == pytest.approx(loss, rel=1e-12)


def test_gathered_features_have_exact_gradients_whoever_computes_which_anchors(two_and_one):
    ranks, single = two_and_one
    for key, expected in single["whole"].items():
        for found in ranks:
            assert_equal_gradients(found["whole"][key], expected)
    assert_equal_gradients(single["whole"][7, True], single["whole"][7, False])


def test_contrastive_loss_of_the_stage_is_the_whole_batchs_on_every_rank(two_and_one):
    ranks, single = two_and_one
    for size, (expected, loss) in single["supcon"].items():
        for found in ranks:
            assert found["supcon"][size][1] == pytest.approx(loss, rel=1e-12)
            assert_equal_gradients(found["supcon"][size][0], expected)


def test_contrastive_stage_on_two_ranks_gives_the_result_of_one(data_root, bytecode):
    expected = alone(data_root, "contrastive", **CONTRASTIVE)
    code, _, text, output = on_two(data_root, "contrastive two", bytecode, **CONTRASTIVE)
    assert code == 0, text
    # Some gradients of the contrastive loss begin at rounding size, where one step of Adam (1e-3) may go either way.
    assert_same_training(output, json.loads((output / "result.json").read_text()), expected, apart_at_most=2e-3)
    curve, curve_there = (json.loads((folder / "supcon_curve.json").read_text()) for folder in (output, expected[1]))
    assert [point["supcon_loss"] for point in curve] == pytest.approx([point["supcon_loss"] for point in curve_there], abs=1e-3)


def test_two_ranks_give_the_result_of_one(data_root, whole, bytecode):
    code, seen, text, output = on_two(data_root, "two", bytecode)
    assert code == 0, text
    kinds = [event["event"] for event in seen]
    assert kinds.count("started") == kinds.count("finished") == 1, "one rank speaks for all"
    result = json.loads((output / "result.json").read_text())
    assert result == seen[-1]["result"]
    assert_same_training(output, result, whole)


def test_one_process_hands_over_to_two_ranks_one_of_which_fails_and_one_goes_on(data_root, whole, bytecode, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(training, "CHECKPOINT_EVERY", 4)
        real = training.batch_loss
        patched.setattr(training, "batch_loss", lambda *words: real(*words) if words[1] < 10 else (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            alone(data_root, "relay")
    code, seen, text, output = on_two(data_root, "relay", bytecode, HELPER, "host", "1,17,4")
    assert code != 0 and "resumed at step 8" in [event.get("message") for event in seen], text
    errors = [event for event in seen if event["event"] == "error"]
    assert [(error["type"], error["message"]) for error in errors] == [("ArithmeticError", "rank 1 fails at step 17")], text
    assert "finished" not in [event["event"] for event in seen] and not (output / "result.json").exists()
    said = []
    result, _ = alone(data_root, "relay", emit=lambda kind, values: said.append(values.get("message")))
    assert "resumed at step 16" in said
    assert_same_training(output, result, whole)


def test_dropout_of_a_part_is_the_part_of_the_whole_batchs_dropout(monkeypatch):
    layer, inputs = WholeBatchDropout(0.25, batch=7), torch.ones(7, 300)
    parts = []
    for number in range(3):
        monkeypatch.setattr(distributed, "world", lambda: 3)
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        torch.manual_seed(5)
        parts.append(layer(distributed.own_part(inputs)))
    monkeypatch.undo()
    torch.manual_seed(5)
    whole = layer(inputs)
    assert [len(part) for part in parts] == [2, 2, 3] and torch.equal(torch.cat(parts), whole)
    assert set(whole.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert float((whole == 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert torch.equal(layer.eval()(inputs), inputs)
    with pytest.raises(ValueError, match="5 rows"):
        layer.train()(inputs[:5])


def test_number_of_devices_is_a_checked_runtime_setting():
    for wrong in (0, 65):
        with pytest.raises(InvalidValueError, match="num_devices"):
            Settings(num_devices=wrong)
    from core import keys

    assert keys.request_identity(Settings(num_devices=2), None) == keys.request_identity(Settings(), None)


def test_a_device_without_a_way_to_talk_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidValueError, match="cannot be spread"), distributed.joined("mps"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with distributed.joined("mps"):
        assert distributed.is_main() and distributed.world() == 1


def test_lone_process_changes_no_bit():
    model = torch.nn.Linear(3, 2)
    model(torch.ones(4, 3)).sum().backward()
    before = [hashlib.sha256(part.grad.numpy().tobytes()).digest() for part in model.parameters()]
    distributed.average_gradients(model.parameters(), 4, 4)
    assert before == [hashlib.sha256(part.grad.numpy().tobytes()).digest() for part in model.parameters()]
    assert distributed.broadcast_json((1,)) == (1,) and distributed.broadcast_number(2) == 2.0 and distributed.bounds(5) == (0, 5)
