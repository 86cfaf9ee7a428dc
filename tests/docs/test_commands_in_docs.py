"""What the pages for beginners and operators tell to type is typed; what takes long is planned, and what another test does is named."""

import ast
import re
import shlex

import pytest

from cli.__main__ import COMMANDS, main
from cli.flows import FLOWS
from cli.help import COMMANDS as TAUGHT
from tests.docs.conftest import ROOT, typed
from tests.docs.marks import blocks

ELSEWHERE = ("No space left on device", "status", "gc", "verify", "publish", "regenerate", "dataset.root")
"""What the table quotes beside messages: the system's own words, and names of commands and settings."""
PAGES = ("first_hour.md", "first_day.md", "operations.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_true(page, folder, capsys):
    found = blocks(ROOT / "docs" / page)
    assert {block.kind for block in found} >= {"runs", "plans"}
    for block in found:
        where = f"docs/{page}, line {block.line}"
        if block.kind == "file":
            (folder / block.what).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.what).write_text(block.text)
        elif block.kind == "runs":
            finished = typed(folder, block.text)
            assert finished.returncode == 0, f"{where}\n{finished.stdout}{finished.stderr}"
        elif block.kind == "plans":
            for line in block.text.splitlines():
                _plan(line, capsys, where)
        else:
            assert functions_of(block.what), f"{where}: {block.what} is no test"


def _plan(line, capsys, where):
    """Check a command without doing its work: a flow is planned, of a command the words are checked."""
    words = shlex.split(line, comments=True)
    assert words[0] == "./run.sh", f"{where}: {line}"
    name = words[1] if len(words) > 1 else "synthio"
    flow = name in FLOWS or name == "plan"
    told = words[1:] if "--help" in words or name == "plan" else ["plan", *words[1:]] if flow else [name, "--help"]
    code = main(told)
    said = capsys.readouterr()
    assert code == 0, f"{where}: {line}\n{said.err}"
    assert not flow or "--help" in words or " to run, " in said.out
    if not flow:
        taught = {option.split(" ")[0] for option in TAUGHT[name].arguments}
        assert name in COMMANDS and {word for word in words if word.startswith("--")} <= taught, f"{where}: {line}"


def functions_of(name):
    """Return what ``tests/….py::test_x`` names, if it is there."""
    path, _, function = name.partition("::")
    file = ROOT / path
    if not file.is_file() or not path.startswith("tests/"):
        return []
    return [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef) and node.name == function]


def test_what_the_pages_say_of_their_own_sounds_is_so(folder):
    """The YAML of the first hour leads through the real stage that reads tables."""
    from cli import flows
    from core.devices import Device
    from core.engine import Engine
    from core.store import Store

    for block in blocks(ROOT / "docs/first_hour.md"):
        if block.kind == "file":
            (folder / block.what).write_text(block.text)
    table = folder / "my_sounds/clips.csv"
    assert table.read_text().splitlines()[0] == "path,label"
    planned = flows.prepare("synthio", [], [folder / "mine.yaml"], folder / "data", folder, "./run.sh")
    step = next(step for step in planned.plan.graph if step.stage.name == "prepare")
    result = Engine(Store(folder / "data"), [Device("cpu", 0, "cpu-0", "test", 8000)]).run(step).result
    assert result["rows"] == 3 and result["rejected"] == 0


def test_what_was_made_by_hand_is_there(folder):
    levels = folder / "loudness_out/levels.csv"
    if not levels.exists():
        pytest.skip("the first day was not run in this session")
    assert [line.split(",")[0] for line in levels.read_text().splitlines()] == ["001.wav", "001.wav", "002.wav"]


def test_symptoms_are_messages_of_the_code_and_remedies_are_commands():
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    table = text.split("| said | means | do |")[1].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) >= 25
    files = [path for part in ("cli", "core", "flows", "tasks") for path in (ROOT / part).rglob("*.py")]
    code = "\n".join([(ROOT / "run.sh").read_text(), *(path.read_text(encoding="utf-8") for path in files)])
    for said, _, remedy in rows:
        for message in re.findall(r"`([^`]+)`", said):
            assert message in code or message in ELSEWHERE or message.startswith("died of SIG"), message
        for command in re.findall(r"`\./run\.sh ([^`]*)`", remedy):
            name = command.split()[0]
            assert name in COMMANDS or name in FLOWS or name == "FLOW", command
    assert sum("./run.sh" in remedy or "same command" in remedy or "again" in remedy for *_, remedy in rows) >= 20


def test_a_block_without_a_mark_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Do\n\n```\n./run.sh\n```\n")
    with pytest.raises(ValueError, match="line 3: a block without a mark"):
        blocks(page)
    page.write_text("<!-- runs -->\nwords\n")
    with pytest.raises(ValueError, match="line 2: a mark without a block"):
        blocks(page)
