import numpy as np
import pytest

from core import audio


@pytest.mark.parametrize("length", [1, 6, 7, 8, 14, 20])
def test_sounds_are_repeated_from_their_start_to_exactly_a_length(length):
    sound = np.arange(1, 8, dtype=np.float32)
    repeated = audio.repeat_to(sound, length)
    assert repeated.dtype == np.float32 and repeated.tolist() == np.resize(sound, length).tolist()  # numpy's own repetition


def test_channels_are_repeated_side_by_side_and_nothing_gives_silence():
    stereo = np.stack([np.arange(3), -np.arange(3)]).astype(np.float32)
    assert audio.repeat_to(stereo, 7).tolist() == [[0, 1, 2, 0, 1, 2, 0], [0, -1, -2, 0, -1, -2, 0]]
    assert audio.repeat_to(np.zeros(0, np.float32), 4).tolist() == [0, 0, 0, 0] and audio.repeat_to(stereo, 0).shape == (2, 0)
