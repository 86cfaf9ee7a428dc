"""Help that teaches: every command and flow has one, it says what is true, and what it names can be typed."""

import dataclasses
import importlib
import inspect
import shlex
import typing

import pytest

from cli import __main__ as cli
from cli import flow_help
from cli.flows import FLOWS
from cli.help import COMMANDS, GROUPS
from core import config, fields
from core.errors import InvalidValueError


def said(capsys, *words):
    assert cli.main(words) == 0
    return capsys.readouterr().out


def test_every_command_has_a_help_and_every_help_a_command():
    assert set(COMMANDS) == {name for name in cli.COMMANDS if not name.startswith("_")}
    assert {item.group for item in COMMANDS.values()} == set(GROUPS)
    assert all(item.summary and item.about and item.examples and item.leaves for item in COMMANDS.values())


def test_the_overview_is_one_screen(capsys):
    lines = said(capsys, "--help").splitlines()
    assert len(lines) <= 42 and max(map(len, lines)) <= 120
    assert said(capsys, "help").splitlines() == lines == said(capsys, "-h").splitlines()
    assert all(any(f"./run.sh {name} " in line for line in lines) for name in COMMANDS) and all(
        any(f in line for line in lines) for f in FLOWS
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_teaches_itself(capsys, name):
    item, text = COMMANDS[name], said(capsys, name, "--help")
    assert text == said(capsys, "help", name) and item.usage in text and "examples" in text and "leaves" in text
    assert all(part in text for part in [*item.arguments, *item.examples])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_that_are_taught_are_those_that_are_taken(name):
    source = inspect.getsource(cli.COMMANDS[name])
    taught = {option.split(" ")[0] for option in COMMANDS[name].arguments if option.startswith("--")} - {"--config"}
    taken = {word.strip('",()') for word in source.replace("(", " ").split() if word.strip('",()').startswith("--")}
    assert taught == {word for word in taken if word.isascii() and not word.startswith("--help")}


@pytest.mark.parametrize("example", [line for item in COMMANDS.values() for line in item.examples if line.startswith("./run.sh")])
def test_examples_use_what_is_taught(example):
    words = shlex.split(example)[1:]
    known = {option.split(" ")[0] for option in COMMANDS[words[0]].arguments}
    assert {word for word in words if word.startswith("--")} - known <= {"-k"} and words[0] in COMMANDS


def test_the_forms_are_those_that_there_are():
    from core.datasets.export import FORMS

    forms = next(option for option in COMMANDS["publish"].arguments if option.startswith("--to"))
    assert forms.split(" ")[1].split("|") == sorted(FORMS)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_teaches_every_setting_with_its_default(capsys, flow):
    text = said(capsys, flow, "--help")
    cls = importlib.import_module(f"flows.{flow}.config").Config
    lines = text.splitlines()
    for item in dataclasses.fields(cls):
        assert any(line.split()[:1] in ([item.name], [f"{item.name}…"]) for line in lines), item.name
    presets = flow_help.named(flow_help.CONFIGS / "presets", f"{flow}-")
    assert all(name in text for name in presets) and (f"preset={next(iter(presets))}" in text if presets else True)


@pytest.mark.parametrize("flow", FLOWS)
def test_every_setting_at_every_depth_can_be_asked_for_and_is_explained(flow):
    cls = importlib.import_module(f"flows.{flow}.config").Config
    pending, asked, silent = [(cls, "")], 0, []
    while pending:
        current, prefix = pending.pop()
        docs = fields.docstrings(current)
        for name, hint in typing.get_type_hints(current).items():
            key = f"{prefix}{name}"
            inner = fields.nested(hint)
            if not docs.get(name) and inner is None:
                silent.append(key)
            if inner is not None and not fields.rows_of(fields.without_none(hint)) and key.count(".") < 3:
                assert name in flow_help.of_flow(flow, key)
                asked += 1
                pending.append((inner, f"{key}."))
    assert silent == [] and (asked > 2 or flow == "regenerate")


def test_a_nested_setting_its_type_default_and_command(capsys):
    text = said(capsys, "synthio", "--help", "train_ast.preset")
    assert "cpu or paper" in text and "default: cpu" in text and "./run.sh plan synthio train_ast.preset=cpu" in text
    assert config.resolve(importlib.import_module("flows.synthio.config").Config, "synthio", ["train_ast.preset=cpu"])
    rows = said(capsys, "synthio", "--help", "generators.synthio.generate")
    assert "generators.synthio.generate.num_iters  whole number  = 4" in rows, "as configs/synthio.yaml has it"
    assert "NAME.rounds  whole number  = 1" in said(capsys, "synthio", "--help", "generators"), "as the dataclass has it"
    with pytest.raises(InvalidValueError, match="has nothing below it"):
        flow_help.of_flow("synthio", "num_samples.many")


def test_help_is_asked_for_anywhere_and_runs_nothing(capsys, data_root):
    assert said(capsys, "synthio", "num_samples=3", "--help") == said(capsys, "synthio", "--help")
    assert said(capsys, "gc", "--yes", "--help") == said(capsys, "gc", "--help")
    assert not list(data_root.iterdir())
