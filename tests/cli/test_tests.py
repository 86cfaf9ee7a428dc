"""``./run.sh test`` sorts every test file into the environment that it runs in, once."""

from pathlib import Path

from cli import tests
from core import environments
from core.keys import ROOT


def test_folders_of_tests_with_environments_of_their_own_exist():
    for folder, environment in tests.FOLDERS.items():
        files = sorted((ROOT / "tests" / folder).glob("test_*.py"))
        assert files and environment in environments.names() and {tests.environment_of(file) for file in files} == {environment}
    assert tests.environment_of(ROOT / "tests/core/datasets/test_export.py") == "test"


def test_every_test_file_is_in_one_group_and_integration_runs_beside_the_rest():
    groups = tests.grouped([ROOT / "tests"])
    found = [file for paths in groups.values() for path in paths for file in Path(path).rglob("test_*.py")]
    assert sorted(found) == sorted((ROOT / "tests").rglob("test_*.py")) and len(set(found)) == len(found)
    assert groups["test · integration"] == [str(ROOT / "tests/integration")] and str(ROOT / "tests/core") in groups["test"]
    one = tests.grouped([ROOT / "tests/integration/test_faults.py"])
    assert one == {"test · integration": [str(ROOT / "tests/integration/test_faults.py")]}
    assert {group.split(tests.SEPARATOR)[0] for group in groups} <= set(environments.names())
