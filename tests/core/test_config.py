from dataclasses import dataclass

import pytest

from core import config
from core.errors import InvalidValueError


@dataclass(frozen=True)
class Training:
    steps: int = 10
    rate: float = 0.1


@dataclass(frozen=True)
class Data:
    name: str
    root: str = ""


@dataclass(frozen=True)
class Toy:
    dataset: Data
    num_samples: int = 50
    training: Training = Training()


@pytest.fixture
def configs(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "presets").mkdir()
    (tmp_path / "toy.yaml").write_text("dataset: demo\nnum_samples: 20\n")
    (tmp_path / "datasets/demo.yaml").write_text("name: demo\n")
    (tmp_path / "datasets/esc10.yaml").write_text("name: esc10\nroot: somewhere\n")
    (tmp_path / "presets/toy-paper.yaml").write_text("training: {steps: 500}\n")
    return tmp_path


def test_layers_apply_in_order(configs, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("training: {rate: 0.5}\nnum_samples: 30\n")
    words = ["dataset=esc10", "preset=paper", "dataset.root=/x", "num_samples=40"]
    resolved = config.resolve(Toy, "toy", words, [mine], configs)
    assert resolved == Toy(Data("esc10", "/x"), 40, Training(500, 0.5))
    assert config.resolve(Toy, "toy", [], [], configs) == Toy(Data("demo"), 20, Training())


def test_presets_lie_upon_each_other_and_values_point_to_what_all_of_them_give(configs):
    (configs / "presets/toy-long.yaml").write_text("training: {steps: 900}\nnum_samples: ${training.steps}\n")
    assert config.resolve(Toy, "toy", ["preset=long,paper"], [], configs) == Toy(Data("demo"), 500, Training(500))
    assert config.resolve(Toy, "toy", ["preset=paper, long", "training.steps=7"], [], configs) == Toy(Data("demo"), 7, Training(7))
    with pytest.raises(InvalidValueError, match="no such preset"):
        config.resolve(Toy, "toy", ["preset=paper,"], [], configs)


def test_user_file_may_choose_the_dataset(configs, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("dataset: esc10\n")
    assert config.resolve(Toy, "toy", [], [mine], configs).dataset.name == "esc10"
    assert config.resolve(Toy, "toy", ["dataset=demo"], [mine], configs).dataset.name == "demo"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("num_sample=3", "did you mean 'num_samples'"),
        ("num_samples=many", "allowed: int"),
        ("training.stepz=3", "did you mean 'steps'"),
        ("dataset=esc01", "did you mean 'esc10'"),
        ("preset=papr", "no such preset"),
        ("justaword", "key=value"),
        ("=3", "key=value"),
    ],
)
def test_refusals_suggest_the_nearest_name(configs, word, text):
    with pytest.raises(InvalidValueError) as caught:
        config.resolve(Toy, "toy", [word], [], configs)
    assert text in str(caught.value)


def test_missing_and_broken_files_are_named(configs, tmp_path):
    with pytest.raises(InvalidValueError, match="no such file"):
        config.resolve(Toy, "toy", [], [tmp_path / "none.yaml"], configs)
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1\n")
    with pytest.raises(InvalidValueError, match=r"broken\.yaml"):
        config.resolve(Toy, "toy", [], [broken], configs)


def test_yaml_text_builds_the_same_configuration(configs, tmp_path):
    resolved = config.resolve(Toy, "toy", ["training.steps=7"], [], configs)
    path = tmp_path / "kept.yaml"
    path.write_text(config.to_yaml(resolved))
    assert config.resolve(Toy, "toy", [], [path], configs) == resolved


def test_command_names_what_differs_from_the_defaults_and_leads_back(configs):
    mine = config.resolve(Toy, "toy", ["dataset=esc10", "dataset.root=/my data", "training.steps=7"], configs=configs)
    command = config.as_command("toy", mine, configs)
    assert command == "./run.sh toy dataset=esc10 'dataset.root=/my data' training.steps=7"
    assert config.resolve(Toy, "toy", ["dataset=esc10", "dataset.root=/my data", "training.steps=7"], configs=configs) == mine
    assert config.as_command("toy", config.resolve(Toy, "toy", [], configs=configs), configs) == "./run.sh toy"
