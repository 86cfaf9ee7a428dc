"""Sources with weights, and clips that another bound of the filter keeps."""

import json

import pandas as pd
import pytest
import torch

from core import manifest
from core.errors import InvalidValueError
from tasks.ast_classifier import mixture, model
from tasks.ast_classifier.mixture import Mixture
from tasks.ast_classifier.training import draw_batch
from tasks.train_ast import spec
from tasks.train_ast.spec import Request, Source
from tests.tasks.train_ast.sounds import dataset, train

SHARES = [(3.0, torch.arange(10, 110)), (1.0, torch.arange(110, 112))]


def drawn(**changes):
    """Return clips of many batches [batches, size]."""
    settings = {"total": 112, "gold": 10, "size": 16, "gold_fraction": 0.25, "shares": SHARES, **changes}
    generator = torch.Generator().manual_seed(0)
    return torch.stack([draw_batch(generator=generator, **settings) for _ in range(400)])


def test_weights_are_shares_of_the_places_by_source_whatever_its_number_of_clips():
    batches = drawn()
    gold, many, few = ((batches >= low) & (batches < high) for low, high in ((0, 10), (10, 110), (110, 112)))
    assert (gold.sum(1) == 4).all() and gold.sum() + many.sum() + few.sum() == batches.numel()
    assert float(many.sum() / few.sum()) == pytest.approx(3.0, rel=0.15)
    assert len(batches[many].unique()) == 100 and len(batches[few].unique()) == 2
    by_clips = drawn(shares=())
    assert float((by_clips >= 110).sum() / (by_clips >= 10).sum()) == pytest.approx(2 / 102, rel=0.5)


def test_extreme_mixtures_are_batches_too():
    assert (drawn(gold_fraction=1.0) < 10).all() and (drawn(gold_fraction=0.0) >= 10).all()
    assert (drawn(gold=112, shares=[]) < 112).all() and (drawn(gold=0, shares=[(1.0, torch.arange(5))]) < 5).all()
    plain = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    expected = torch.randint(0, 40, (8,), generator=plain[0])
    assert torch.equal(draw_batch(40, 0, 8, 0.5, plain[1]), expected), "without gold or weights as it always was"


def rows(folder, cosines, status="rejected"):
    """Return candidates of a filtered folder."""
    made = [
        manifest.row(f"{folder}{i}", f"{folder}/{i}.wav", "generate", label="ab"[i % 2], split="train", status=status,
                     scores={"clap_cosine": value, "clap_rank": 1.0, "clap_sigmoid": 0.5})
        for i, value in enumerate(cosines)
    ]  # fmt: skip
    return manifest.frame(made)


def test_another_bound_decides_over_all_rounds_of_a_source_and_leaves_the_others_alone():
    first, second = rows("one", [0.9, 0.8, 0.1, 0.2], "accepted"), rows("two", [0.5, 0.6, 0.7, 0.3])
    silent = manifest.frame([manifest.row("s", "one/s.wav", "generate", label="a", split="train", status="rejected", reason="silent")])
    noise = manifest.frame([manifest.row("n", "noise/n.wav", "augment", label="a", split="train")])
    tables = {"one": (pd.concat([first, silent]), True), "two": (second, True), "noise": (noise, False)}
    table = pd.concat([mixture.candidate(part, flag).assign(folder=name) for name, (part, flag) in tables.items()], ignore_index=True)
    assert "s" not in set(table["clip_id"]), "what the filter never heard cannot come back"
    request = Request(("one", "two", "noise"), "e", 1, sources=(Source("made", ("one", "two"), filtered=True), Source("n", ("noise",))))

    def kept(score, bound):
        return set(table["clip_id"][mixture.kept(table, request, Mixture(0.5, {}, score, bound))])

    assert kept("", 0) == {"one0", "one1", "one2", "one3", "n"}, "as the filter decided"
    assert kept("top_share", 0.5) == {"one0", "two2", "one1", "two1", "n"}, "the best half of each label, over both rounds"
    assert kept("cosine", 0.65) == {"one0", "one1", "two2", "n"} and kept("top_share", 1.0) == set(table["clip_id"])
    shares = mixture.shares(table, request, Mixture(0.5, {"made": 2.0}))
    assert [(weight, part.tolist()) for weight, part in shares] == [(2.0, list(range(8))), (1.0, [8])]
    assert mixture.shares(table, request, Mixture(0.5)) == []


def test_training_says_what_it_mixed_and_refuses_stray_folders(tmp_path):
    dataset(tmp_path, "stages/caption/aa", {"train": 2})
    dataset(tmp_path, "stages/prepare/aa", {"val": 2, "test": 2})
    result, _ = train(tmp_path, steps=2, gold_fraction=0.25)
    assert result.mixture == {"gold_fraction": 0.25, "weights": {}, "score": "", "bound": 0.0}
    json.dumps(result.mixture)
    with pytest.raises(InvalidValueError, match="not trained on"):
        Request(("stages/a/b",), "e", 1, sources=(Source("x", ("stages/c/d",)),))


def test_room_and_spec_agree_on_a_patch():
    assert model.PATCH_FRAMES == spec.PATCH_FRAMES
