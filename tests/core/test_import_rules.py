"""flows → core, stages' specs; tasks → core; core → neither prefect nor torch; specs → standard library, contract, shared settings."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STDLIB = set(sys.stdlib_module_names)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module


def modules(folder):
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", modules("core"), ids=str)
def test_core_imports_neither_prefect_nor_torch_nor_the_layers_above(path):
    assert not {name for name in imports(path) if name.split(".")[0] in ("prefect", "torch", "torchaudio", "dask", "flows", "tasks", "cli")}


@pytest.mark.parametrize("path", modules("tasks"), ids=str)
def test_tasks_import_no_orchestrator(path):
    assert not {name for name in imports(path) if name.split(".")[0] in ("prefect", "prefect_dask", "dask", "distributed", "flows", "cli")}


@pytest.mark.parametrize("path", [path for name in ("spec", "settings") for path in sorted((ROOT / "tasks").glob(f"*/{name}.py"))], ids=str)
def test_specs_import_the_standard_library_the_contract_and_shared_settings_only(path):
    found = {name for name in imports(path) if name.split(".")[0] not in STDLIB} - {"core.contract", "core.errors"}
    assert all(path.name == "spec.py" and name.startswith("tasks.") and name.endswith(".settings") for name in found), found


@pytest.mark.parametrize("path", modules("flows"), ids=str)
def test_flows_see_of_the_stages_only_their_specs_and_the_settings_these_share(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tasks":
            assert node.module.endswith((".spec", ".settings")) or [alias.name for alias in node.names] == ["spec"], ast.unparse(node)
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.split(".")[0] == "tasks" and not alias.name.endswith(".spec")]
    assert not {name for name in imports(path) if name.split(".")[0] in ("torch", "cli")}


def test_graphs_can_be_planned_without_prefect():
    code = "import sys; import flows.synthio.graph, cli.plan, core.engine; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_no_lock_names_a_registry_a_machine_path_or_a_key():
    for path in (ROOT / "envs").glob("*/requirements.*"):
        text = path.read_text()
        assert "://" not in text and "index-url" not in text and "find-links" not in text, path
        assert path.suffix != ".txt" or "--hash=sha256:" in text
