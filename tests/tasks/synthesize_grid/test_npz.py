"""Published files are read without running what their pickles say."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from core.errors import InvalidValueError
from tasks.synthesize_grid import npz, plain_pickle

CLASSES = ["sine", "square"]
TOLD = {"freqs": np.array([100.0, 100.0, 200.0, 200.0]), "amps": [1.0, np.float64(1.0), 0.5, 0.5], "waveforms": np.array(CLASSES * 2)}


def write(path, **changed):
    members = {
        "x": np.arange(12, dtype=np.float64).reshape(4, 3),
        "y": np.array([0, 1, 0, 1]),
        "classes": np.array(CLASSES),
        "metadata": TOLD,
    }
    np.savez_compressed(path, **{name: value for name, value in (members | changed).items() if value is not None})
    return path


def test_published_layout_streams_from_any_row(tmp_path):
    source = npz.Source(write(tmp_path / "a.npz"))
    assert (source.clips, source.samples) == (4, 3) and [factor.name for factor in source.factors] == ["frequency", "amplitude", "waveform"]
    assert source.columns["frequency"].tolist() == [100, 100, 200, 200] and source.columns["waveform"].tolist() == [0, 1, 0, 1]
    assert source.columns["amplitude"].tolist() == [1, 1, 0.5, 0.5] and source.factors[1].values == (0.5, 1.0)
    read = [(first, block.tolist()) for first, block in source.blocks(1, 4, 2)]
    assert read == [(1, [[3, 4, 5], [6, 7, 8]]), (3, [[9, 10, 11]])]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_metadata_survives_every_protocol(protocol):
    value = {
        "a": np.arange(6, dtype=">i4").reshape(2, 3, order="F"), "b": [1, 2.5, "x", None, True], "c": np.array(["ä", "bc"]),
        "d": np.array(["u", "v"], dtype=object), "e": np.float32(0.5),
    }  # fmt: skip
    if protocol == 2:
        with pytest.raises(InvalidValueError, match="_codecs"):  # protocol 2 needs a codec for bytes, which is more than data
            plain_pickle.load(pickle.dumps(value, protocol))
        return
    found = plain_pickle.load(pickle.dumps(value, protocol))
    assert np.array_equal(found["a"], value["a"]) and found["b"] == value["b"] and found["c"].tolist() == ["ä", "bc"]
    assert found["d"] == ["u", "v"] and found["e"] == 0.5


def test_older_numpy_names_are_known():
    pickled = pickle.dumps({"freqs": np.arange(3.0)}, 3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"numpy.core.multiarray" in pickled
    assert plain_pickle.load(pickled)["freqs"].tolist() == [0, 1, 2]


class Hostile:
    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


@pytest.mark.parametrize("bury", [lambda bad: bad, lambda bad: {"freqs": [bad]}, lambda bad: np.array([bad], dtype=object)])
@pytest.mark.parametrize("call", [(os.mkdir,), (exec,), (eval,), (__import__,), (getattr,)])
def test_hostile_pickles_are_refused_and_not_run(tmp_path, bury, call):
    target = tmp_path / "owned"
    code = f"import os; os.mkdir({str(target)!r})"
    bad = Hostile(call[0], {os.mkdir: str(target), exec: code, eval: f"__import__('os').mkdir({str(target)!r})"}.get(call[0], "os"))
    with pytest.raises(InvalidValueError, match="refused"):
        plain_pickle.load(pickle.dumps(bury(bad)))
    assert not target.exists()


def test_a_hostile_file_is_refused_and_not_run(tmp_path):
    target = tmp_path / "owned"
    box = np.empty((), dtype=object)
    box[()] = {"freqs": Hostile(os.mkdir, str(target))}
    path = write(tmp_path / "a.npz", metadata=box)
    with pytest.raises(InvalidValueError, match=r"refused.*posix\.mkdir"):
        npz.Source(path)
    assert not target.exists()
    np.load(path, allow_pickle=True)["metadata"]
    assert target.exists(), "the file is a real attack: numpy runs it"


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([1])[:-3], b"cnumpy\nndarray\n(tR.", b"cnumpy\ndtype\n(S'O'\ntR."])
def test_damaged_pickles_and_calls_of_numpy_are_refused(data):
    with pytest.raises(InvalidValueError):
        plain_pickle.load(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"x": np.zeros((4, 3), np.int16)}, {"x": np.zeros(12)}, {"x": np.asfortranarray(np.zeros((4, 3)))}, {"y": np.array([0, 1, 0, 2])},
        {"y": np.array([0, 1])}, {"y": np.array([1, 0, 1, 0])}, {"classes": None}, {"metadata": None}, {"metadata": {"freqs": [1.0] * 4}},
        {"metadata": {**TOLD, "amps": [1.0]}}, {"x": np.array([[np.zeros(3)] * 3] * 4, dtype=object)},
    ],
)  # fmt: skip
def test_other_layouts_are_refused(tmp_path, changed):
    with pytest.raises(InvalidValueError):
        npz.Source(write(tmp_path / "a.npz", **changed))


def test_broken_archives_and_samples_are_refused(tmp_path):
    (tmp_path / "no.npz").write_bytes(b"no archive")
    with pytest.raises(InvalidValueError, match=r"no \.npz"):
        npz.Source(tmp_path / "no.npz")
    with pytest.raises(InvalidValueError, match=r"x\[2\]"):
        list(npz.Source(write(tmp_path / "nan.npz", x=np.array([[0.0] * 3] * 2 + [[np.nan] * 3] * 2))).blocks(0, 4, 4))
    short = io.BytesIO()
    np.lib.format.write_array_header_1_0(short, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 16000)})
    with zipfile.ZipFile(write(tmp_path / "lies.npz", x=None), "a") as archive:
        archive.writestr("x.npy", short.getvalue() + b"\0" * 64)
    with pytest.raises(InvalidValueError, match="1000000000×16000"):
        npz.Source(tmp_path / "lies.npz")
