import pytest

from tests.plugins.building import compiler


def test_a_missing_compiler_skips_aloud_and_fails_where_nobody_looks(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"NO C\+\+ COMPILER"):
        compiler()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="install g"):
        compiler()
