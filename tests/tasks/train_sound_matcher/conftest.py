import pytest

from tasks.render_presets import stage as rendering
from tasks.sound_matching import rerendering
from tests.tasks.train_sound_matcher import toy


@pytest.fixture(scope="session", autouse=True)
def _here():
    with pytest.MonkeyPatch.context() as patch:
        for module in (rendering, rerendering):
            patch.setattr(module, "Pool", toy.HerePool)
        yield


@pytest.fixture(scope="session")
def data_root(tmp_path_factory, _here):
    """Preset sets of the toy synthesiser, and a proxy of it."""
    root = tmp_path_factory.mktemp("toy")
    toy.write(root)
    return root
