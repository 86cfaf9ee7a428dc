"""Which environments there are, and which of them everybody needs."""

from core import environments


def test_optional_environments_are_known_but_not_needed(tmp_path):
    for name in ("data", "parity"):
        (tmp_path / "envs" / name).mkdir(parents=True)
        (tmp_path / "envs" / name / "requirements.txt").write_text("")
    (tmp_path / "envs" / "parity" / environments.OPTIONAL).write_text("for comparison only\n")
    assert environments.names(tmp_path) == ["data", "parity"] and environments.needed(tmp_path) == ["data"]


def test_what_flows_run_in_is_never_optional():
    from core.contract import load_spec
    from core.keys import ROOT

    used = {load_spec(path.parent.name).STAGE.environment for path in (ROOT / "tasks").glob("*/spec.py")}
    assert used <= set(environments.needed())
