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
    probed = {step.request.embeddings for step in plan.graph if step.stage.name == "probe"}
    assert {plan.graph[folder].request.clips for folder in probed} == {plan.exports[0]}


def test_no_encoder_sees_the_dataset(tmp_path):
    plan, _, _ = steps(tmp_path)
    assert all(not step.parents for step in plan.graph if step.stage.name == "train_contrastive")


def test_impulse_responses_are_found_from_where_the_person_is(tmp_path):
    for name in ("rooms", "halls"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "response.wav").write_text(name)
    words = ["train_contrastive.transform=audiomentations", "train_contrastive.impulse_responses=rooms"]
    words += ["encoders={plain: {}, halls: {impulse_responses: halls}}"]
    plan, _, _ = steps(tmp_path, *words)
    found = [step.request.settings.impulse_responses for step in plan.graph if step.stage.name == "train_contrastive"]
    assert found == [str(tmp_path / "rooms"), str(tmp_path / "halls")]
    with pytest.raises(InvalidValueError, match="impulse_responses"):
        steps(tmp_path, words[0], "train_contrastive.impulse_responses=nowhere")


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


def of(plan, stage):
    return [step.request for step in plan.graph if step.stage.name == stage]


def test_every_published_key_is_taken_or_told_what_to_do_instead(tmp_path):
    (tmp_path / "vgg").mkdir()
    words = [
        "embedding=resnet", "synthconfig=default", "synth=voicefm", "transform=specaugment", "trainer=main", "data.batch_size=32",
        "data.train_size=0.8", "data.apply_transform=true", "data.max_n=320", "data.duration=1", "data.sample_rate=16000",
        "data.synthetic.delta=0.05", "general.synthetic=false", f"data.path={tmp_path / 'vgg'}", "data.temporal_jitter=true",
        "data.n_layers=2",
        "general.epochs=3", "general.unif_t=2", "general.align_alpha=2", "general.align_w=1", "general.unif_w=1",
        "general.use_tensorboard=true", "general.ckpt=null", "general.max_audio_log_n=4", "general.val_interval=2", "general.optimizer=sgd",
        "general.scheduler.milestones=[0.5]", "system.seed=7", "system.devices=-1", "embedding.num_classes=64", "embedding.conv_channels=3",
        "embedding.preprocessor=vggish", "synthconfig.sample_rate=16000", "synthconfig.control_rate=480", "synthconfig.eps=1e-6",
    ]  # fmt: skip
    plan, _, _ = steps(tmp_path, *words)
    (request,) = of(plan, "train_contrastive")
    made = request.settings
    assert request.folder == str(tmp_path / "vgg") and request.seed == 7 and made.temporal_jitter and made.layers == 2 and made.tensorboard
    assert (made.transform, made.optimizer, made.milestones, made.look_epochs, made.sample_pairs) == ("specaugment", "sgd", (0.5,), 2, 4)
    assert (made.train_fraction, made.dimensions, made.channels, made.control_rate_hz) == (0.8, 64, 3, 480)
    assert not of(plan, "measure_sounds"), "there is no synthesiser to measure"
    quick, _, _ = steps(tmp_path, "trainer=fastdevrun")
    assert (of(quick, "train_contrastive")[0].settings.epochs, of(quick, "train_contrastive")[0].settings.batch_pairs) == (1, 8)
    stored, _, _ = steps(tmp_path, "data.pregeneration.n_pairs=40", "system.seed=3")
    (training,), made = of(stored, "train_contrastive"), [one for one in of(stored, "synthesize") if one.settings.n == 40]
    assert training.pairs.startswith("stages/synthesize/") and made[0].settings.pairs and made[0].settings.seed == 3


def test_proxies_baselines_and_measures_are_steps_of_the_run(tmp_path):
    plan, _, _ = steps(tmp_path, "preset=baselines", "encoders={fm: {synth: voicefm, delta: 0.1}}")
    page = plan.graph[plan.report].request
    assert list(dict.fromkeys(run.probe for run in page.runs)) == ["linear", "knn", "arch", "hear", "parameters", "waveform", "pitch"]
    by_probe = {probe: [run.encoder for run in page.runs if run.probe == probe] for probe in ("linear", "pitch")}
    assert by_probe == {"linear": ["doppelgangers", "fm", "random", "mel", "supervised"], "pitch": ["doppelgangers", "fm", "random", "mel"]}
    targets = {request.settings.target: request for request in of(plan, "probe")}
    assert set(targets) == {"label", "unit", "note"} and targets["unit"].settings.folds == "drawn"
    (measured,) = of(plan, "measure_sounds")
    assert [one.name for one in measured.sets] == ["doppelgangers", "fm"] and [space.name for space in measured.spaces] == [
        "mel",
        "doppelgangers",
    ]
    sounds = {one.clips: plan.graph[one.clips].request.settings for one in measured.sets}
    assert [(made.synth, made.delta, made.pairs) for made in sounds.values()] == [("voice", 0.25, True), ("voicefm", 0.1, True)]
    assert plan.graph[page.factors].request.settings.pairs is False and page.measures.startswith("stages/measure_sounds/")
    assert all(request.clips == plan.exports[0] for request in of(plan, "train_supervised")) and len(of(plan, "train_supervised")) == 1
    without, _, _ = steps(tmp_path, "measured_pairs=0")
    assert not of(without, "measure_sounds") and not of(without, "synthesize")


def test_sweeps_over_synthesisers_and_the_smoke_preset(tmp_path):
    plan, _, _ = steps(tmp_path, "preset=synthesisers")
    settings = [request.settings for request in of(plan, "train_contrastive")]
    assert [one.synth for one in settings] == ["voice", "voicefm", "parametric", "voice", "voice"]
    assert settings[3].filtered and settings[4].events == 3 and len(of(plan, "measure_sounds")[0].sets) == 5
    smoke, _, _ = steps(tmp_path, "preset=smoke")
    (training,) = of(smoke, "train_contrastive")
    assert (training.settings.batch_pairs, training.settings.epochs, training.settings.pairs_per_epoch) == (8, 1, 24)


DATASETS = {
    "esc50": (5, "arch", "accuracy"), "urbansound8k": (10, "arch", "accuracy"), "vivae": (11, "arch", "accuracy"),
    "nsynth": (0, "hear", "accuracy"),
    "crema_d": (5, "hear", "accuracy"), "fsd50k": (0, "hear", "mAP"), "vocal_imitation": (3, "hear", "mAP"),
    "libricount": (5, "hear", "accuracy"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_published_datasets_come_with_their_folds_metric_and_probe(tmp_path, name):
    folds, protocol, metric = DATASETS[name]
    (tmp_path / "set").mkdir()
    plan, _, _ = steps(tmp_path, f"dataset={name}", "dataset.root=set", "probes=[published]", "baselines=[mel, supervised]")
    (imported,), (prepared,) = of(plan, "import_dataset"), of(plan, "prepare")
    assert imported.layout == name and imported.root == prepared.root == str(tmp_path / "set")
    assert prepared.csv.startswith("stages/import_dataset/") and prepared.csv.endswith("/clips.csv")
    settings = prepared.settings
    used = [*settings.train_folds, *settings.val_folds, *settings.test_folds]
    assert used == [str(number) for number in range(1, folds + 1)] and (settings.split_column == "split") == (not folds)
    probes = of(plan, "probe")
    assert {request.probe for request in probes} == {protocol} and {request.settings.metric for request in probes} == {metric}
    assert {request.settings.label_separator for request in probes} == {"," if name == "fsd50k" else ""}
    assert (probes[0].settings.arch_val_fraction == 0.0) == (name == "vivae")
    (supervised,) = of(plan, "train_supervised")
    assert supervised.settings.metric == metric and supervised.settings.label_separator == probes[0].settings.label_separator
    with pytest.raises(InvalidValueError, match="missing"):
        steps(tmp_path, f"dataset={name}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embedding=vit"], "no such member"),
        (["data.n_workers=64"], "has no counterpart"),
        (["general.ckpt=last.ckpt"], "goes on by itself"),
        (["data.pregeneration.device=cuda"], "has no counterpart"),
        (["trainer=fastdevrum"], "fastdevrun"),
        (["general.synthetic=false"], "belong together"),
        (["data.path=/somewhere"], "belong together"),
        (["encoders.real.folder=/nowhere/at/all"], "no such file or folder"),
        (["encoders.supervised.delta=0.1"], "name taken"),
        (["probes=[published]"], "names none"),
        (["dataset=esc50", "dataset.csv=a.csv"], "two tables"),
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


def test_an_encoder_is_trained_on_any_mixture_of_sources_made_from_the_train_clips(tmp_path):
    entry = "encoders={twins: {}, mixed: {sources: [gold, spatial, dexed, voice], weights: {gold: 2}, temporal_jitter: true}}"
    plan, labels, _ = steps(tmp_path, entry, "training_seeds=[1,2]", "sources.presets.dexed.render_presets.n=40")
    gold, mixture = [step for step in plan.graph if step.stage.name == "mix_clips"]
    assert gold.request.sources[0].folders == (plan.exports[0],) and not mixture.request.held_out
    assert [(one.name, one.weight) for one in mixture.request.sources] == [("gold", 2.0), ("spatial", 1.0), ("dexed", 1.0), ("voice", 1.0)]
    made_by = [plan.graph[one.folders[0]].stage.name for one in mixture.request.sources]
    assert made_by == ["mix_clips", "spatialise", "caption", "synthesize"]
    (rooms,) = [step for step in plan.graph if step.stage.name == "spatialise"]
    assert rooms.request.clips == gold.output, "train clips alone are heard in rooms"
    trained = [step.request for step in plan.graph if step.stage.name == "train_contrastive"]
    assert [one.clips for one in trained] == ["", "", mixture.output, mixture.output]
    assert "measure_sounds" in labels and len([label for label in labels if label.startswith("synthesize sounds of")]) == 1
    assert not [step for step in steps(tmp_path)[0].graph if step.stage.name in ("mix_clips", "spatialise", "render_presets")]


def test_twins_by_name_are_sounds_of_the_projects_own_with_nothing_of_the_dataset_in_them(tmp_path):
    plan, _, _ = steps(tmp_path, "preset=named")
    (training,) = [step.request for step in plan.graph if step.stage.name == "train_contrastive"]
    assert training.settings.positives == "label" and training.settings.transform == "recording" and not training.folder
    mixture = plan.graph[training.clips].request
    (sounds,) = mixture.sources
    made = plan.graph[sounds.folders[0]]
    assert made.stage.name == "synthesize_captioned" and made.request.settings.named_share == 1.0
    with pytest.raises(InvalidValueError, match="empty"):
        steps(tmp_path, "encoders.doppelgangers=null", "baselines=[]")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{sources: [silver]}", "unknown source"), ("{sources: gold}", "must be a list"), ("{weights: {gold: 1}}", "unknown source"),
        ("{sources: [gold], weights: {noise: 1}}", "weights of its sources"), ("{sources: [gold], folder: .}", "two kinds of clips"),
    ],
)  # fmt: skip
def test_mixtures_that_cannot_be_are_refused(tmp_path, entry, said):
    with pytest.raises(InvalidValueError, match=said):
        steps(tmp_path, f"encoders={{mixed: {entry}}}")


def test_the_supervised_baseline_is_trained_on_sources_and_tested_on_the_datasets_own_split(tmp_path):
    plan, _, _ = steps(tmp_path, "baselines=[supervised]", "supervised_on=[gold, noise]")
    mixture = [step for step in plan.graph if step.stage.name == "mix_clips"][-1]
    (trained,) = [step.request for step in plan.graph if step.stage.name == "train_supervised"]
    assert trained.clips == mixture.output and trained.settings.folds == "split" and mixture.request.evaluation == plan.exports[0]
    assert mixture.request.held_out
    with pytest.raises(InvalidValueError, match="has no labels"):
        steps(tmp_path, "baselines=[supervised]", "supervised_on=[gold, voice]")
    with pytest.raises(InvalidValueError, match="has folds"):
        steps(tmp_path, "baselines=[supervised]", "supervised_on=[gold, noise]", "dataset.layout=esc50")
