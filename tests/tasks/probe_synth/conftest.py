import pytest

from tests.plugins.building import build_small_synth


@pytest.fixture(scope="session")
def small_synth(tmp_path_factory):
    """The tests' own VST3 synthesiser, compiled once."""
    return str(build_small_synth(tmp_path_factory.mktemp("plugin")))
