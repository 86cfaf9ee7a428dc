import numpy as np
import pytest
import soundfile

from core import audio
from core.audio_checks import Limits, Unusable, check, clipped_share, load, locate

RATE = 16000
TONE = (0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def reason(function, *arguments):
    with pytest.raises(Unusable) as caught:
        function(*arguments)
    return caught.value.reason


@pytest.mark.parametrize(
    ("name", "sample_rate", "channels", "subtype"),
    [("a.wav", 16000, 1, "PCM_U8"), ("b.wav", 44100, 2, "PCM_24"), ("c.wav", 48000, 1, "FLOAT"), ("d.wav", 192000, 1, "PCM_16"),
     ("e.wav", 16000, 6, "PCM_16"), ("f.ogg", 44100, 1, "VORBIS"), ("g.flac", 44100, 1, "PCM_16")],
)  # fmt: skip
def test_every_ordinary_format_is_read(tmp_path, name, sample_rate, channels, subtype):
    times = np.arange(sample_rate // 2) / sample_rate
    sound = np.repeat((0.3 * np.sin(2 * np.pi * 300 * times))[:, None], channels, axis=1)
    soundfile.write(tmp_path / name, sound, sample_rate, subtype=subtype)
    samples, rate = load(tmp_path / name, Limits())
    assert rate == sample_rate and samples.shape[0] == channels and samples.dtype == np.float32
    mono = audio.load_mono(tmp_path / name, 16000)
    assert abs(len(mono) - 8000) <= 2
    assert np.argmax(np.abs(np.fft.rfft(mono))) * 16000 / len(mono) == pytest.approx(300, abs=3)


def test_what_is_no_sound_is_unreadable(tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    soundfile.write(tmp_path / "cut.flac", TONE, RATE)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 3])
    soundfile.write(tmp_path / "short.wav", TONE, RATE)
    whole = (tmp_path / "short.wav").read_bytes()
    (tmp_path / "short.wav").write_bytes(whole[:30])
    for name in ("text.wav", "cut.flac", "short.wav"):
        assert reason(load, tmp_path / name, Limits()) in ("unreadable", "empty_file"), name


def test_ten_minutes_are_refused_without_being_decoded_whole(tmp_path):
    soundfile.write(tmp_path / "long.flac", np.tile(TONE, 600), RATE)
    assert reason(load, tmp_path / "long.flac", Limits()) == "too_long"


@pytest.mark.parametrize(
    ("sound", "expected"),
    [(TONE[:800], "too_short"), (np.zeros_like(TONE), "silent"), (np.clip(TONE * 20, -1, 1), "clipped"), (TONE[:0], "empty_file")],
)
def test_unusable_sounds_have_their_reason(sound, expected):
    assert reason(check, sound[None].astype(np.float32), RATE, Limits()) == expected


def test_nan_is_found_in_a_float_file(tmp_path):
    broken = TONE.copy()
    broken[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, RATE, subtype="FLOAT")
    assert reason(load, tmp_path / "nan.wav", Limits()) == "not_finite"


def test_a_loud_but_unclipped_sound_passes():
    loud = TONE / np.abs(TONE).max() * 0.999
    check(loud[None], RATE, Limits())
    assert clipped_share(loud[None]) < 0.02


def test_paths_stay_below_the_root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.wav").write_bytes(b"x")
    (root / "link.wav").symlink_to(tmp_path / "secret.wav")
    (root / "empty.wav").write_bytes(b"")
    for path, expected in (("../secret.wav", "outside_root"), (str(tmp_path / "secret.wav"), "outside_root"), ("link.wav", "outside_root"),
                           ("none.wav", "missing_file"), ("empty.wav", "empty_file"), ("bad\0name.wav", "missing_file")):  # fmt: skip
        assert reason(locate, root, path) == expected, path


def test_resampling_keeps_level_and_pitch_and_lengths_are_fitted():
    sound = audio.resample(TONE, 16000, 44100)
    assert np.sqrt(np.mean(sound**2)) == pytest.approx(np.sqrt(np.mean(TONE**2)), rel=0.01) and len(sound) == 44100
    assert audio.fit_length(TONE, 10).shape == (10,) and audio.fit_length(TONE[None], 20000).shape == (1, 20000)
