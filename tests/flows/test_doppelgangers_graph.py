"""The graph of a study of encoders: trainings shared by all probes, baselines of the same size, published overrides taken."""

import pytest

from core import config, keys
from core.errors import InvalidValueError
from flows.doppelgangers import graph


def steps(tmp_path, *words):
    resolved = config.resolve(graph.CONFIG, "doppelgangers", graph.translate(words))
    plan = graph.build_graph(resolved, keys.FileDigests(tmp_path / "digests.json"), cwd=tmp_path, command="./run.sh doppelgangers")
    return plan, [step.label for step in plan.graph], resolved


def test_every_encoder_and_seed_is_trained_once_for_all_probes(tmp_path):
    plan, labels, _ = steps(tmp_path, "preset=delta", "training_seeds=[1,2]")
    trained = [step for step in plan.graph if step.stage.name == "train_contrastive"]
    assert sorted({step.request.settings.delta for step in trained}) == [0.01, 0.05, 0.1, 0.25, 0.5]
    assert len(trained) == 5 * 2, "the default encoder and four others, each with two seeds"
    assert sum(label.startswith("probe linear") for label in labels) == 5 * 2 + 2 + 1, "random weights per seed, mel once"
    page = plan.graph[plan.report].request
    assert [run.encoder for run in page.runs if not run.training][::2] == ["random", "random", "mel"]
    random = [step.request for step in plan.graph if step.stage.name == "embed" and step.request.encoder == "random"]
    assert {request.settings.seed for request in random} == {1, 2} and {request.checkpoint for request in random} == {trained[0].output}
    assert {step.request.clips for step in plan.graph if step.stage.name == "embed"} == {plan.exports[0]}


def test_no_encoder_sees_the_dataset(tmp_path):
    plan, _, _ = steps(tmp_path)
    assert all(not step.parents for step in plan.graph if step.stage.name == "train_contrastive")


def test_published_overrides_mean_the_same(tmp_path):
    words = [
        "embedding=resnet",
        "synth=parametric",
        "data.synthetic.delta=0.1",
        "general.epochs=200",
        "data.batch_size=768",
        "general.unif_t=3",
    ]
    _, _, resolved = steps(
        tmp_path, *words, "system.seed=4", "data.max_n=100000", "embedding.preprocessor=simple", "data.apply_transform=false"
    )
    made = resolved.training("doppelgangers")
    assert (made.synth, made.delta, made.epochs, made.batch_pairs, made.uniform_t) == ("parametric", 0.1, 200, 768, 3)
    assert (made.pairs_per_epoch, made.front_end, made.transform, resolved.training_seeds) == (100_000, "simple", "none", (4,))
    _, _, altered = steps(tmp_path, "data.apply_transform=true")
    assert altered.training("doppelgangers").transform == "audiomentations"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embedding=vit"], "no such member"),
        (["data.n_workers=64"], "has no counterpart"),
        (["data.apply_transform=maybe"], "not a switch"),
        (["encoders={random: {}}"], "name taken"),
        (["encoders.doppelgangers.nothing=1"], "unknown key"),
        (["probes=[]"], "empty"),
        (["probes=[linear,linear]"], "something twice"),
        (["probes=[forest]"], "not one of the choices"),
        (["data.synthetic.delta=7"], "delta"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, words, message):
    with pytest.raises(InvalidValueError, match=message):
        steps(tmp_path, *words)
