import json
import math

import numpy as np
import pytest
import torch

from core import audio, manifest
from tasks.ast_classifier import clips, training
from tasks.ast_classifier.recipe import contrastive_recipe
from tasks.ast_classifier.supcon import Projection, draw_views, positive_pairs
from tasks.contrastive.losses import supcon as supcon_loss
from tasks.train_ast.spec import Settings
from tests.tasks.train_ast.sounds import dataset, sound, train


def unit_vectors(rows, width=5, seed=0):
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1)


def by_double_loop(vectors, clips_of, classes_of, temperature):
    """The definition, number by number."""
    losses = []
    for i in range(len(vectors)):
        scores = {j: math.exp(float(np.dot(vectors[i], vectors[j])) / temperature) for j in range(len(vectors)) if j != i}
        positives = [j for j in scores if clips_of[j] == clips_of[i] or classes_of[j] == classes_of[i]]
        if positives:
            losses.append(-sum(math.log(scores[j] / sum(scores.values())) / len(positives) for j in positives))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("classes_of", [[0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 2, 2], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6]])
def test_loss_is_its_definition(classes_of):
    vectors, clips_of = unit_vectors(12), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4]
    positives = positive_pairs(torch.nn.functional.one_hot(torch.tensor(classes_of)).float(), torch.tensor(clips_of))
    for temperature in (0.1, 1.0):
        expected = by_double_loop(vectors.numpy(), clips_of, classes_of, temperature)
        assert float(supcon_loss(vectors, positives, temperature)) == pytest.approx(expected, rel=1e-6)


def test_one_positive_each_is_cross_entropy_over_the_others():
    vectors = unit_vectors(8)
    partner = torch.arange(8) ^ 1
    positives = torch.arange(8)[None] == partner[:, None]
    logits = (vectors @ vectors.T / 0.1).fill_diagonal_(-torch.inf)
    assert float(supcon_loss(vectors, positives, 0.1)) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, partner)), rel=1e-9)


def test_gradient_is_that_of_the_definition_and_does_not_go_through_oneself():
    vectors, clips_of, classes_of = unit_vectors(6), [0, 0, 1, 1, 2, 3], [0, 0, 1, 1, 0, 2]
    positives = positive_pairs(torch.nn.functional.one_hot(torch.tensor(classes_of)).float(), torch.tensor(clips_of))
    free = vectors.clone().requires_grad_()
    supcon_loss(free, positives, 0.5).backward()
    numbers = vectors.numpy()
    for i, j in ((0, 0), (2, 3), (4, 1), (5, 2)):
        ends = []
        for push in (1e-6, -1e-6):
            moved = numbers.copy()
            moved[i, j] += push
            ends.append(by_double_loop(moved, clips_of, classes_of, 0.5))
        assert float(free.grad[i, j]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)
    flagged = positives | torch.eye(6, dtype=torch.bool)
    cleared = positives & ~torch.eye(6, dtype=torch.bool)
    assert float(supcon_loss(vectors, flagged, 0.5)) == float(supcon_loss(vectors, cleared, 0.5))


def test_batch_without_positives_has_no_loss_and_finite_gradients():
    vectors = unit_vectors(3).requires_grad_()
    loss = supcon_loss(vectors, torch.eye(3, dtype=torch.bool), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0 and not vectors.grad.any()


def test_positives_of_several_labels_share_one():
    targets = torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    pairs = positive_pairs(targets, torch.tensor([0, 1, 2, 3, 3]))
    assert pairs[0, 1] and not pairs[0, 2] and pairs[3, 4] and torch.equal(pairs, pairs.T)


def test_projection_is_the_published_one_in_proportion():
    shapes = [tuple(part.weight.shape) for part in Projection(768).layers if isinstance(part, torch.nn.Linear)]
    assert shapes == [(4096, 768), (256, 4096)] and isinstance(Projection(768).layers[1], torch.nn.BatchNorm1d)
    assert Projection(96).layers[0].out_features == 512 and Projection(96).layers[3].out_features == 32
    assert torch.allclose(Projection(96)(torch.randn(7, 96)).norm(dim=1), torch.ones(7))


def test_views_are_the_gold_clip_then_its_descendants_then_the_same_again():
    groups = [[0, 2, 3, 4, 5, 6], [1, 7], [8]]  # 0 and 1 are gold; 8 stems from no gold clip
    seen = {}
    for seed in range(30):
        rows, numbers = draw_views(groups, 2, 2, 4, torch.Generator().manual_seed(seed))
        assert len(rows) == 8 and len(set(numbers.tolist())) == 2
        for group in set(numbers.tolist()):
            seen.setdefault(group, []).append(rows[numbers == group].tolist())
    assert all(views[0] == 0 and len(set(views)) == 4 for views in seen[0]), "the gold clip and three of its descendants"
    assert {number for views in seen[0] for number in views} == {0, 2, 3, 4, 5, 6}
    assert all(views == [1, 7, 1, 7] for views in seen[1]) and all(views == [8] * 4 for views in seen[2])
    rows, _ = draw_views(groups, 2, 24, 4, torch.Generator().manual_seed(0))
    assert len(rows) == 12, "no more groups than there are"


def test_families_follow_the_parents():
    table = manifest.frame(
        [
            manifest.row("a", "a.wav", "gold"), manifest.row("b", "b.wav", "gold"), manifest.row("x", "x.wav", "generate", parents=["b"]),
            manifest.row("y", "y.wav", "generate", parents=["?", "a"]), manifest.row("z", "z.wav", "retrieved"),
        ]
    )  # fmt: skip
    assert clips.families(table, {"a", "b"}) == [[0, 3], [1, 2], [4]]
    assert clips.families(table.iloc[2:], {"a", "b"}) == [[0], [1], [2]], "gold that is not trained on still ties its descendants"


def test_schedule_falls_by_the_epoch_and_by_the_step_only_on_request():
    pace, augmentation = contrastive_recipe(Settings(preset="paper", supcon="two_stage"), 48)
    assert pace.steps == 200 and pace.batch_clips == 24 and (augmentation.masked_frames, augmentation.masked_mels) == (96, 24)
    assert pace.rate(9) == pace.rate(0) == 1e-4 and pace.rate(10) == pace.rate(11) == pytest.approx(0.85e-4)
    legacy, _ = contrastive_recipe(Settings(preset="paper", supcon="two_stage", supcon_legacy_schedule=True), 48)
    assert legacy.rate(4) == 1e-4 and legacy.rate(5) == pytest.approx(0.85e-4) and legacy.rate(54) == pytest.approx(1e-4 * 0.85**50)
    assert contrastive_recipe(Settings(preset="paper", supcon="two_stage", pretrained="x"), 48)[0].learning_rate == 1e-5


@pytest.fixture
def data_root(tmp_path):
    """Gold clips, two generated clips of each, and validation and test clips."""
    gold = dataset(tmp_path, "stages/caption/aa", {"train": 4})
    dataset(tmp_path, "stages/prepare/aa", {"val": 3, "test": 4})
    rows = []
    for row in gold:
        for number in range(2):
            path = f"stages/clap_filter/aa/{row['clip_id']}{number}.wav"
            audio.write(tmp_path / path, sound(row["label"], number + 50), 16000)
            rows.append(
                manifest.row(f"{row['clip_id']}{number}", path, "generate", label=row["label"], split="train", parents=[row["clip_id"]],
                             duration_s=0.5)
            )  # fmt: skip
    manifest.write(tmp_path / "stages/clap_filter/aa", manifest.frame(rows))
    return tmp_path


BOTH = ("caption", "clap_filter")


def test_two_stages_learn_and_the_second_starts_from_the_first(data_root):
    settings = {"supcon": "two_stage", "supcon_steps": 24, "supcon_clips": 5, "steps": 24}
    result, output = train(data_root, "two_stage", BOTH, **settings)
    curve = json.loads((output / "supcon_curve.json").read_text())
    assert [point["step"] for point in curve] == [4, 8, 12, 16, 20, 24] and curve[-1]["supcon_loss"] < curve[0]["supcon_loss"]
    assert result.test_accuracy > 0.6 and result.faults == () and not list(output.glob("*.pt"))
    legacy, other = train(data_root, "legacy", BOTH, supcon_legacy_schedule=True, **settings)
    assert "every step" in legacy.faults[0] and (other / "supcon_curve.json").read_text() != (output / "supcon_curve.json").read_text()
    pace, _ = contrastive_recipe(Settings(preset="paper", supcon="two_stage", supcon_legacy_schedule=True), 96)
    assert pace.rate(54) == pytest.approx(pace.learning_rate * 0.85**50) and 0.85**50 < 3e-4, "it hardly trains"


def test_joint_loss_is_the_sum(data_root, monkeypatch):
    result, output = train(data_root, "joint", BOTH, supcon="joint", supcon_weight=0.25, steps=30)
    assert result.test_accuracy > 0.6 and not (output / "supcon_curve.json").exists()
    assert not any("projection" in name for name in json.loads((output / "config.json").read_text()))
    seen = {}
    real = training.batch_loss
    for weight in (0.0, 1.0, 2.0):
        monkeypatch.setattr(training, "batch_loss", lambda *words, weight=weight: seen.setdefault(weight, real(*words)))
        train(data_root, f"joint{weight}", BOTH, supcon="joint", supcon_weight=weight, steps=1)
    plain, once, twice = (float(seen[weight][0].detach()) for weight in (0.0, 1.0, 2.0))
    assert twice - plain == pytest.approx(2 * (once - plain), rel=1e-4) and once - plain > 0.5


@pytest.mark.parametrize("stop", [("contrastive steps", 6), ("steps", 6)])
def test_interrupted_in_either_stage_and_resumed_equals_uninterrupted(data_root, monkeypatch, stop):
    settings = {"supcon": "two_stage", "supcon_steps": 8, "supcon_clips": 5, "steps": 8, "masked_frames": 5}
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 4)
    _, whole = train(data_root, "whole", BOTH, **settings)
    wanted = training.descend

    def broken(trained, loss_at, pace, extra, look, checkpoint, unit, trainee, context):
        def loss_or_kill(step):
            if (unit, step) == stop:
                raise KeyboardInterrupt
            return loss_at(step)

        return wanted(trained, loss_or_kill, pace, extra, look, checkpoint, unit, trainee, context)

    with monkeypatch.context() as patched:
        patched.setattr(training, "descend", broken)
        with pytest.raises(KeyboardInterrupt):
            train(data_root, "part", BOTH, **settings)
    said = []
    _, part = train(data_root, "part", BOTH, emit=lambda kind, values: said.append(values.get("message")), **settings)
    contrastive, classifier = "resumed at step {} of the contrastive steps", "resumed at step 4"
    expected = [contrastive.format(8), classifier] if stop[0] == "steps" else [contrastive.format(4)]
    assert [text for text in said if text] == expected
    for name in ("model.safetensors", "predictions.parquet", "curves.json", "supcon_curve.json"):
        assert (part / name).read_bytes() == (whole / name).read_bytes(), name
