"""What a beginner meets first: every refusal names the next command, and none is a traceback."""

import pytest

from cli.__main__ import main


@pytest.fixture
def here(data_root, tmp_path, monkeypatch):
    """Commands of this process work on an empty data root, called from an empty folder."""
    monkeypatch.setenv("SYNTHLOOM_CWD", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path


def refused(capsys, *words):
    assert main(words) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err and not said.out
    return said.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["plan", "synthio", "dataset=esc11"], "./run.sh synthio --help"),
        (["plan", "synthio", "preset=tabel"], "did you mean 'table'?; ./run.sh synthio --help"),
        (["plan", "synthio", "train_ast.stepz=1"], "did you mean 'steps'?; ./run.sh synthio --help train_ast"),
        (["plan", "synthio", "num_samples=x"], "./run.sh synthio --help"),
        (["plan", "synthio", "dataset=esc10"], "dataset.root=FOLDER; configs/datasets/esc10.yaml"),
        (["plan", "synthio", "dataset=esc10", "dataset.root=gone"], "docs/first_hour.md"),
        (["plan", "synthio", "--config", "gone.yaml"], "./run.sh plan FLOW --config FILE"),
        (["plan", "synthio", "steps"], "./run.sh synthio --help"),
        (["plan", "synthio", "clap_checkpoint=gone.pt"], "where ./run.sh was called"),
        (["plan", "syntho"], "did you mean 'synthio'"),
        (["synthi"], "./run.sh --help"),
        (["status", "gone"], "start with ./run.sh"),
        (["export", "last", "--to", "csv"], "start with ./run.sh"),
        (["export", "last"], "./run.sh export --help"),
        (["publish", "last"], "./run.sh publish --help"),
        (["verify", "gone"], "./run.sh publish last --as NAME"),
        (["push", "gone"], "./run.sh push --help"),
        (["setup", "trane"], "./run.sh doctor"),
        (["gc", "--days", "many"], "0 or more"),
        (["gc", "--days", "-1"], "0 or more"),
        (["gc", "now"], "./run.sh gc --help"),
        (["completion", "fish"], "bash or zsh"),
        (["synthio", "--help", "train_ast.stepz"], "./run.sh synthio --help train_ast"),
        (["exprt", "--help"], "did you mean 'export'"),
        (["up", "--cluster"], "--help"),
    ],
)
def test_it_names_the_next_command(here, capsys, words, command):
    assert command in refused(capsys, *words)


@pytest.mark.parametrize("name", ["SYNTHLOOM_PORT", "SYNTHLOOM_PAGES_PORT"])
@pytest.mark.parametrize("value", ["http", "70000", "-1"])
def test_a_port_that_is_none(here, capsys, monkeypatch, name, value):
    from cli import settings
    from core.errors import InvalidValueError

    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidValueError, match=f"unset {name}"):
        settings.port(name, 4200)
    if name == "SYNTHLOOM_PORT":
        assert "unset SYNTHLOOM_PORT" in refused(capsys, "up")


def test_a_server_that_is_not_up(here, capsys, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert "./run.sh up starts one" in refused(capsys, "up")


def test_a_data_root_that_is_a_file(here, capsys, monkeypatch):
    (here / "file").write_text("")
    monkeypatch.setenv("SYNTHLOOM_DATA", str(here / "file"))
    assert "set SYNTHLOOM_DATA=FOLDER; ./run.sh doctor" in refused(capsys, "status")


def test_an_unknown_run_among_known_ones(here, data_root, capsys):
    from core import runs

    runs.save(data_root, runs.Run("20261121-synthio-demo", "synthio", "t", "c", 0.0, [], "stages/report/x"))
    assert "did you mean '20261121-synthio-demo'?; ./run.sh status lists them" in refused(capsys, "status", "20261122-synthio-demo")
