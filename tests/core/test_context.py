import pytest

from core.context import Context


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path / "out", tmp_path / "data", emit=lambda kind, values: None)


def test_other_stages_outputs_are_located_below_the_data_root_and_outside_paths_stay_as_they_are(context, tmp_path):
    assert context.locate("stages/train_clap/aa/clap.pt") == (tmp_path / "data/stages/train_clap/aa/clap.pt").resolve()
    for outside in (str(tmp_path / "630k.pt"), "stages_of_mine/clap.pt"):
        assert str(context.locate(outside)) == outside


def test_nothing_is_located_or_resolved_outside_the_data_root(context, tmp_path):
    (tmp_path / "data/stages").mkdir(parents=True)
    (tmp_path / "data/stages/link").symlink_to(tmp_path)
    for path in ("stages/../../secret", "stages/link/secret"):
        for find in (context.locate, context.resolve):
            with pytest.raises(ValueError, match="leaves the data root"):
                find(path)
