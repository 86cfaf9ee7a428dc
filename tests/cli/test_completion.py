"""Completion as a shell asks for it: a real bash sources the script and completes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli import completion
from core import runs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(data_root, monkeypatch):
    """A data root with a run and a published dataset."""
    monkeypatch.setenv("SYNTHLOOM_CWD", str(ROOT))
    runs.save(data_root, runs.Run("20261121-120000-synthio-demo", "synthio", "t", "c", 0.0, [], "stages/report/x"))
    version = data_root / "published/mine/0123456789ab"
    version.mkdir(parents=True)
    (version / "version.json").write_text(json.dumps({}))
    (version.parent / "current").symlink_to(version.name)
    return data_root


CASES = [
    ("./run.sh pl", ["plan"]),
    ("./run.sh syn", ["synth_proxy", "synthio", "syntone"]),
    ("./run.sh synthio train_ast.sup", [f"train_ast.supcon{end}" for end in (
        "=", "_clips=", "_legacy_schedule=", "_steps=", "_temperature=", "_views=", "_weight=")]),
    ("./run.sh synthio train_ast.preset=", ["train_ast.preset=cpu", "train_ast.preset=paper"]),
    ("./run.sh plan synthio turn_folds=t", ["turn_folds=true"]),
    ("./run.sh synthio generators.synthio.gen", ["generators.synthio.generate."]),
    ("./run.sh synthio preset=ta", ["preset=table"]),
    ("./run.sh synthio dataset=esc", ["dataset=esc10", "dataset=esc50"]),
    ("./run.sh regenerate dataset=", ["dataset=demo"]),
    ("./run.sh synthio dataset.published=", ["dataset.published=mine"]),
    ("./run.sh synthio --help mod", ["models"]),
    ("./run.sh num_samples.", []),
    ("./run.sh export ", ["20261121-120000-synthio-demo", "last"]),
    ("./run.sh export last --to a", ["audiofolder"]),
    ("./run.sh status 2026", ["20261121-120000-synthio-demo"]),
    ("./run.sh verify ", ["mine"]),
    ("./run.sh diff mine ", ["0123456789ab"]),
    ("./run.sh setup tr", ["train"]),
    ("./run.sh bench syntone.t", ["syntone.training"]),
    ("./run.sh gc --d", ["--days", "--dry-run"]),
    ("./run.sh completion ", ["bash", "zsh"]),
    ("./run.sh gone ", ["--config"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), CASES, ids=[line for line, _ in CASES])
def test_what_fits(house, line, words):
    found = completion.candidates([line])
    assert found == words if line != "./run.sh gone " else set(words) <= set(found)


def test_it_imports_nothing_heavy(house):
    code = (
        "import sys; from cli.__main__ import main; main(['__complete', './run.sh synthio generators.synthio.']); "
        "sys.exit(str({name.split('.')[0] for name in sys.modules} & {'prefect', 'pandas', 'numpy', 'omegaconf', 'torch'} or ''))"
    )
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.stderr.strip() == "" and "generators.synthio.captions=" in finished.stdout


def bash(line, cwd):
    """Complete ``line`` as bash does: words cut at its own breaks, the function called, COMPREPLY read."""
    script = f"""
        source <({ROOT}/run.sh completion bash)
        COMP_LINE="$1" COMP_POINT=${{#1}}
        # readline cuts words at blanks and at COMP_WORDBREAKS, which holds = and :
        IFS=$'\\n' read -r -d '' -a COMP_WORDS < <(printf '%s' "$1" | sed -E 's/ +/\\n/g; s/([=:])/\\n\\1\\n/g')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _synthloom 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    finished = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line], cwd=cwd, capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert finished.returncode == 0, finished.stderr
    return [word for word in finished.stdout.splitlines() if word]


@pytest.mark.skipif(
    not (ROOT / "envs/orchestrator/.venv").exists(), reason="needs the orchestrator's environment: ./run.sh setup orchestrator"
)
def test_a_real_bash_completes(house):
    assert bash("./run.sh compl", ROOT) == ["completion"]
    assert bash("./run.sh synthio train_ast.pres", ROOT) == ["train_ast.preset="]
    # After the equals sign bash holds only what follows it, and so must the answer.
    assert bash("./run.sh synthio train_ast.preset=p", ROOT) == ["paper"]
    assert bash("./run.sh export last --to web", ROOT) == ["webdataset"]
    assert bash(f"{ROOT}/run.sh verify m", ROOT.parent) == ["mine"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_a_real_zsh_asks_and_offers(house):
    script = f"""
        compdef() {{ : }}; compinit() {{ : }}; compadd() {{ print -r -- "$@" }}; _files() {{ print files }}
        source <({ROOT}/run.sh completion zsh)
        words=("${{(@s: :)1}}"); CURRENT=$#words; _synthloom
    """

    def zsh(line):
        return subprocess.run(
            ["zsh", "-f", "-c", script, "zsh", line], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    assert zsh("./run.sh synthio train_ast.preset=p") == "-- train_ast.preset=paper"
    assert zsh("./run.sh synthio train_ast.pres") == "-S  -- train_ast.preset=", "what goes on has no blank after it"
    assert zsh("./run.sh nothing-of-ours") == "files"
