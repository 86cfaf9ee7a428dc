"""Every variable of Synthio's run.sh is taken, with its meaning, in keys that the flow's configuration knows."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cli import flows
from core import config
from core.errors import InvalidValueError
from flows.synthio import compat
from flows.synthio.compat import translate

PUBLISHED = {
    "dataset_name": "tut_urban", "input_train_file": "./dataset_csvs/tut_train.csv", "valid_csv": "./dataset_csvs/val.csv",
    "test_csv": "./dataset_csvs/test.csv", "domain": "environmental_sounds", "output_folder": "./tut_urban_synthetic/",
    "output_folder_supcon": "./tut_urban_synthetic_supcon/", "num_iters": "2", "num_samples": "200", "init_noise_level": "80.0",
    "initialize_audio": "False", "output_csv_path": "./tut_urban/", "clap_threshold": "0.85", "supcon": "False", "multi_label": "False",
    "use_label": "True", "plain_caption": "False", "plain_wo_caption": "False", "iterative": "False", "use_ast": "True",
    "clap_full_ft": "False", "clap_filter": "True", "filter_w_finetune": "False", "full_finetune_clap": "False",
    "clap_exp_name": "aug_clap", "augment": "True", "force_steps": "True", "only_synthetic": "True", "dpo": "True", "use_dpo": "True",
    "dpo_ckpt_folder": "./stable-audio-tools/",
}  # fmt: skip
"""The variables at the top of run.sh as published."""


def keys(*words):
    """Return the translation as nested settings, read as the configuration reads them."""
    return OmegaConf.to_container(OmegaConf.from_dotlist(translate(words)))


def generator(*words):
    return keys(*words)["generators"]["seed"]


def arm(*words):
    first, second = keys(*words)["arms"]
    assert first == {"name": "gold only", "sources": ["gold"]}
    return second


def resolved(*words):
    from flows.synthio.config import Config

    return config.resolve(Config, "synthio", translate(words))


def test_every_variable_of_run_sh_is_known():
    assert set(PUBLISHED) == {*compat.VARIABLES, "num_samples"}


def test_the_page_for_users_of_run_sh_lists_every_variable():
    page = (config.ROOT / "docs/from_synthio.md").read_text()
    assert not [name for name in PUBLISHED if f"| `{name}`" not in page and f", `{name}`" not in page]


@pytest.mark.parametrize("words", [[], ["num_samples=100"], ["dataset=esc10", "clap_filter.score=rank", "clap_filter={threshold: 2}"],
                                   ["num_samples=[50,100]", "draw_seed=3", "train_ast.steps=5", "notasetting"]])  # fmt: skip
def test_words_without_a_variable_pass_unchanged(words):
    assert translate(words) == words


def test_our_keys_pass_and_come_last_so_that_they_win():
    words = translate(["generators.seed.generate.steps=7", "num_iters=3", "shards=2", "generators.seed.rounds=2"])
    assert words[-3:] == ["generators.seed.generate.steps=7", "shards=2", "generators.seed.rounds=2"]
    assert generator("num_iters=3", "generators.seed.generate.num_iters=5")["generate"]["num_iters"] == 5


def test_the_published_settings_as_a_whole():
    found = keys(*(f"{key}={value}" for key, value in PUBLISHED.items()))
    assert found["dataset"] == {
        "name": "tut_urban", "root": "./dataset_csvs", "csv": "tut_train.csv", "val_csv": "val.csv", "test_csv": "test.csv",
        "domain": "environmental_sounds", "prepare": {"split_column": ""},
    }  # fmt: skip
    assert found["num_samples"] == 200 and found["arms"][1] == {"name": "synthetic only", "sources": ["seed"]}
    assert found["generators"]["seed"] == {
        "model": "seed", "captions": "seed", "rounds": 1, "filter": True, "generate": {"num_iters": 2, "initialize_audio": False},
    }  # fmt: skip
    assert found["captions"] == {"seed": {"mode": "template"}, "template": {"mode": "template"}}
    assert found["models"]["seed"] == {
        "start": "base", "captions": "template", "align": {"method": "dpo"}, "pairs": {"method": "gold_wins"},
        "losers": {"num_iters": 2, "initialize_audio": False},
    }  # fmt: skip
    assert found["clap_filter"] == {"score": "sigmoid", "threshold": 0.85}
    assert found["force"] == ["generate", "align_text_to_audio"]
    assert (found["export_to"], found["export_csv"], found["keep_models_in"]) == (
        "./tut_urban_synthetic/", "./tut_urban/", "./stable-audio-tools/"
    )  # fmt: skip


def test_what_is_not_said_is_as_in_run_sh_but_for_force_steps():
    shared = set(PUBLISHED) - {"force_steps", "clap_threshold", *compat.TEXTS}
    said = keys("use_label=True", *(f"{name}={PUBLISHED[name]}" for name in shared))
    assert keys("use_label=True") == said and "force" not in said and "clap_filter" not in said


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (["use_label=True"], "template"),
        (["use_label=True", "plain_caption=True", "plain_wo_caption=True"], "template"),
        (["use_label=False"], "mixcap"),
        (["use_label=False", "plain_caption=True"], "plain"),
        (["use_label=False", "plain_caption=True", "plain_wo_caption=True"], "plain_wo_caption"),
        (["use_label=False", "multi_label=True"], "multi_label"),
        (["use_label=True", "multi_label=True"], "template"),
    ],
)
def test_captions(words, mode):
    assert keys(*words)["captions"]["seed"]["mode"] == mode and generator(*words)["captions"] == "seed"


@pytest.mark.parametrize(
    ("words", "model"),
    [
        (["dpo=True"], "seed"), (["dpo=True", "use_dpo=True"], "seed"), (["dpo=True", "use_dpo=False"], "base"),
        (["dpo=False"], "base"), (["dpo=False", "use_dpo=False"], "base"), (["dpo=False", "use_dpo=True"], "seed"),
    ],
)  # fmt: skip
def test_the_tuned_model_is_made_when_it_is_used(words, model):
    assert generator(*words)["model"] == model and ("seed" in keys(*words).get("models", {})) == (model == "seed")


def test_arms():
    assert arm("only_synthetic=True") == {"name": "synthetic only", "sources": ["seed"]}
    assert arm("only_synthetic=False") == {"name": "gold + synthetic", "sources": ["gold", "seed"]}
    alone = keys("augment=False", "iterative=True", "clap_filter=False", "num_iters=3")
    assert alone["arms"] == [{"name": "gold only", "sources": ["gold"]}] and not {"generators", "models", "captions"} & set(alone)


def test_supcon_gets_views_of_its_own():
    found = keys("supcon=True", "only_synthetic=False", "use_dpo=False", "initialize_audio=True")
    views = found["generators"]["seed_supcon"]
    assert found["captions"]["seed_supcon"]["mode"] == "supcon" and found["generators"]["seed"]["model"] == "base"
    assert views["model"] == "seed" and views["filter"] is False and views["generate"]["num_iters"] == 4
    assert views["generate"]["initialize_audio"] is True
    assert found["arms"][1]["sources"] == ["gold", "seed", "seed_supcon"] and "train_ast" not in found["arms"][0]
    assert found["arms"][1]["train_ast"] == {"supcon": "two_stage", "supcon_views": 4, "masked_frames": 96, "masked_mels": 24}
    assert "seed_supcon" not in keys("supcon=False")["generators"]


def test_start_from_gold_at_the_published_noise_in_each_samplers_units():
    assert generator("initialize_audio=False")["generate"] == {"num_iters": 2, "initialize_audio": False}
    level = generator("initialize_audio=True")["generate"]["init_noise_level"]
    assert level / (1 - level) == pytest.approx(80.0, rel=1e-3), "noise to signal, as in z + 80·ε"
    level = generator("initialize_audio=True", "init_noise_level=1.0")["generate"]["init_noise_level"]
    assert level == pytest.approx(0.5)
    sigma = generator("initialize_audio=True", "generators.seed.generate.sampler=dpmpp-3m-sde")["generate"]["init_noise_level"]
    assert sigma == 80.0


def test_filter_and_self_reflection():
    assert generator("clap_filter=False")["filter"] is False and generator("clap_filter=True")["filter"] is True
    assert "clap_filter" not in keys("clap_filter=True"), "the rule that suits the checkpoint"
    assert keys("clap_threshold=0.5")["clap_filter"] == {"score": "sigmoid", "threshold": 0.5}
    assert "clap_filter" not in keys("clap_threshold=0.5", "clap_filter=False")
    assert generator("iterative=True")["rounds"] == 3 and generator("iterative=False")["rounds"] == 1
    tuned = keys("filter_w_finetune=True", "clap_checkpoint=630k.pt", "full_finetune_clap=True", "clap_exp_name=x")
    assert tuned["train_clap"] == {"start_from": "630k.pt"} and "clap_checkpoint" not in tuned
    plain = keys("filter_w_finetune=False", "clap_checkpoint=630k.pt")
    assert plain["clap_checkpoint"] == "630k.pt" and "train_clap" not in plain
    assert "train_clap" not in keys("filter_w_finetune=True"), "the compact checkpoint is fitted on the gold clips anyway"


def test_multi_label_is_told_to_every_stage_that_must_know():
    found = keys("multi_label=True", "use_label=False")
    assert [found["dataset"]["prepare"], found["stratify"], found["train_ast"]] == [{"label_separator": ","}] * 3
    assert found["captions"]["seed"] == {"mode": "multi_label", "label_separator": ","}
    assert keys("multi_label=True", "train_ast.label_separator=;")["train_ast"] == {"label_separator": ";"}


def test_number_of_samples_is_our_key_too():
    assert keys("num_samples=50", "num_iters=1")["num_samples"] == 50
    assert keys("num_iters=1")["num_samples"] == 200, "run.sh's own default, where a variable of run.sh is used"


@pytest.mark.parametrize(
    ("words", "dataset"),
    [
        (["dataset_name=esc10"], "esc10"),
        (["dataset_name=x", "dataset=esc10"], {"name": "x"}),
        (["domain=street: noise"], {"domain": "street: noise"}),
        (["dataset_name=x", "input_train_file=/a/b/c.csv"], {"name": "x", "root": "/a/b", "csv": "c.csv"}),
        (["input_train_file=c.csv"], {"name": "c", "root": ".", "csv": "c.csv"}),
        (["input_train_file=a/c.csv", "dataset.root=."], {"name": "c", "root": ".", "csv": "a/c.csv"}),
        (["input_train_file=a/c.csv", "dataset.root=audio"], {"name": "c", "root": "audio", "csv": "../a/c.csv"}),
        (["input_train_file=/a/c.csv", "dataset.root=audio"], {"name": "c", "root": "audio", "csv": "/a/c.csv"}),
        (
            ["input_train_file=t/a.csv", "valid_csv=v.csv", "test_csv=/x/t.csv"],
            {"name": "a", "root": "t", "csv": "a.csv", "val_csv": "../v.csv", "test_csv": "/x/t.csv"},
        ),
        (["input_train_file=../t/a b.csv", "test_csv=../t/u.csv"], {"name": "a b", "root": "../t", "csv": "a b.csv", "test_csv": "u.csv"}),
        (["test_csv=/x/t.csv", "dataset.root=/x", "dataset.csv=c.csv"], {"root": "/x", "csv": "c.csv", "test_csv": "t.csv"}),
    ],
)
def test_tables_are_found_from_the_callers_folder(words, dataset):
    found = keys(*words)["dataset"]
    if isinstance(found, dict):
        assert found.pop("prepare", {"split_column": ""}) == {"split_column": ""}
    if dataset == {"name": "x"}:
        assert translate(words)[-1] == "dataset=esc10" and 'dataset.name="x"' in translate(words)
    else:
        assert found == dataset


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["use_ast=False"], r"use_ast: cannot be served; allowed: True; .*never published.*train_ast.pretrained"),
        (["clap_full_ft=True"], r"clap_full_ft: cannot be served.*filter_w_finetune=True"),
        (["use_label=False", "plain_wo_caption=True"], "set plain_caption=True, too"),
        (["iterative=True", "clap_filter=False"], "set clap_filter=True"),
        (["dpo=yes"], "dpo: not a switch; allowed: True or False; received: 'yes'"),
        (["num_iters=2.5"], "num_iters: not a number; allowed: a whole number"),
        (["clap_threshold=high"], "clap_threshold: not a number"),
        (["clap_threshold=nan"], "clap_threshold: not a number"),
        (["valid_csv=v.csv"], "input_train_file=FILE"),
        (["input_train_file=/a/t.csv", "test_csv=t.csv"], "write the tables as absolute paths"),
        (["input_train_file=../x/t.csv", "test_csv=t.csv", "dataset.root=../y/z"], "absolute paths"),
        (["num_iters=2", "notasetting"], "not a setting"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_nearest_thing(words, message):
    with pytest.raises(InvalidValueError, match=message):
        translate(words)


@pytest.mark.parametrize("value", ["True", "true", "False", "false"])
def test_switches_as_the_shell_writes_them(value):
    assert generator(f"clap_filter={value}")["filter"] is (value.lower() == "true")


@pytest.mark.parametrize(
    "words",
    [
        ["dataset_name=demo", "use_label=False", "num_samples=20", "supcon=True", "iterative=True", "initialize_audio=True"],
        ["augment=False"], ["multi_label=True", "use_label=False"], ["clap_threshold=0.4", "use_dpo=False", "force_steps=True"],
        ["input_train_file=t.csv", "valid_csv=v.csv", "test_csv=u.csv", "filter_w_finetune=True", "train_clap.start_from=x.pt"],
        [f"{key}={value}" for key, value in PUBLISHED.items()],
    ],
)  # fmt: skip
def test_the_configuration_takes_every_translation(words):
    found = resolved(*words)
    assert found.arms[0].name == "gold only" and len(found.arms) == (1 if words == ["augment=False"] else 2)


def test_the_command_line_translates_before_it_resolves(data_root):
    words = ["dataset_name=demo", "use_label=True", "num_samples=20", "dpo=False", "only_synthetic=False"]
    planned = flows.prepare("synthio", words, [], data_root, Path(), "./run.sh synthio")
    assert planned.config.num_samples == 20 and planned.config.generators["seed"].model == "base"
    labels = [step.label for step in planned.plan.graph]
    assert "generate seed" in labels and "clap_filter seed" in labels and not [label for label in labels if "align" in label]
    assert {label.split(",")[0] for label in labels if label.startswith("train_ast")} == {
        "train_ast gold only", "train_ast gold + synthetic"
    }  # fmt: skip
