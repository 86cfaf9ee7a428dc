import re
import time

import numpy as np
import pytest

from core import dsp
from tasks.synthesize_captioned.everyday import recording
from tasks.synthesize_captioned.everyday.catalogue import NAMED
from tasks.synthesize_captioned.spec import Settings
from tasks.synthesize_captioned.stage import make_clip
from tasks.synthesize_captioned.words import log_uniform

RATE = 16000
ESC_50 = {
    "dog": "dog", "rooster": "rooster", "pig": "pig", "cow": "cow", "frog": "frog", "cat": "cat", "hen": "hen", "insects": "insects",
    "sheep": "sheep", "crow": "crow", "rain": "rain", "sea_waves": "sea_waves", "crackling_fire": "fire", "crickets": "crickets",
    "chirping_birds": "song_bird", "water_drops": "water_drops", "wind": "wind", "pouring_water": "pouring_water",
    "toilet_flush": "toilet_flush", "thunderstorm": "thunderstorm", "crying_baby": "crying_baby", "sneezing": "sneezing",
    "clapping": "clapping", "breathing": "breathing", "coughing": "coughing", "footsteps": "footsteps", "laughing": "laughing",
    "brushing_teeth": "brushing_teeth", "snoring": "snoring", "drinking_sipping": "drinking", "door_wood_knock": "door_knock",
    "mouse_click": "mouse_click", "keyboard_typing": "keyboard", "door_wood_creaks": "door_creak", "can_opening": "can_opening",
    "washing_machine": "washing_machine", "vacuum_cleaner": "vacuum_cleaner", "clock_alarm": "clock_alarm", "clock_tick": "clock_tick",
    "glass_breaking": "glass_breaking", "helicopter": "helicopter", "chainsaw": "chainsaw", "siren": "siren", "car_horn": "car_horn",
    "engine": "engine", "train": "train", "church_bells": "church_bells", "airplane": "airplane", "fireworks": "fireworks",
    "hand_saw": "hand_saw", "dog_bark": "dog", "baby_cry": "crying_baby", "person_sneeze": "sneezing", "fire_crackling": "fire",
}  # fmt: skip


def names_of(family):
    """Every name that may stand in a caption."""
    return (*family.labels, *family.phrases)


def sound_of(family, seed, duration_s=3.0, rate=RATE):
    sound, words = NAMED[family].make(np.random.default_rng(seed), dsp.time_axis(duration_s, rate), rate)
    return dsp.unit_rms(sound), words


def centroid(sound, rate=RATE):
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float((power * np.fft.rfftfreq(len(sound), 1 / rate)).sum() / power.sum())


def pitch_of(sound, low_hz, high_hz):
    """Pitch of the loudest 60 ms, by the highest peak of the autocorrelation."""
    length = int(0.06 * RATE)
    energy = np.convolve(sound**2, np.ones(length), mode="valid")
    part = sound[int(np.argmax(energy)) :][:length] * np.hanning(length)
    correlation = np.correlate(part, part, mode="full")[length - 1 :]
    lags = slice(int(RATE / high_hz), int(RATE / low_hz))
    return RATE / (lags.start + int(np.argmax(correlation[lags])))


def spans(sound):
    """Silence between loud 20 ms frames: how many separate stretches of sound there are."""
    frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
    loud = np.sqrt((frames**2).mean(1)) > 0.1 * np.sqrt((frames**2).mean(1)).max()
    return int(np.sum(np.diff(np.concatenate([[0], loud.astype(int)])) == 1))


@pytest.mark.parametrize("family", sorted(NAMED))
def test_family_is_sound_seeded_and_named(family):
    settings = Settings(duration_s=1.5)
    clips = [make_clip(settings, family, index) for index in range(3)]
    for samples, caption, _ in clips:
        assert samples.dtype == np.float32 and samples.shape == (24000,) and np.isfinite(samples).all()
        assert np.sqrt(np.mean(samples**2)) > 10 ** (-42 / 20) and np.abs(samples).max() < 0.98
        assert any(name.lower() in caption.lower() for name in names_of(NAMED[family])), caption
        assert 2 <= len(re.findall(r"\w+", caption)) <= 40 and caption[0].isupper() and "  " not in caption
    again = make_clip(settings, family, 1)
    assert np.array_equal(again[0], clips[1][0]) and again[1:] == clips[1][1:]
    assert not np.array_equal(clips[0][0], clips[1][0])
    assert not np.array_equal(make_clip(Settings(duration_s=1.5, seed=1), family, 0)[0], clips[0][0])


@pytest.mark.parametrize(("duration_s", "rate"), [(0.5, 8000), (0.5, 44100), (7.0, 8000)])
def test_every_family_fits_every_length_and_rate(duration_s, rate):
    for family in NAMED:
        sound, words = sound_of(family, 5, duration_s, rate)
        assert sound.shape == (round(duration_s * rate),) and np.isfinite(sound).all() and np.mean(sound**2) > 0.5, family
        assert words and words == words.strip()


@pytest.mark.parametrize(("label", "family"), ESC_50.items())
def test_labels_of_datasets_hit_words_of_their_family(label, family):
    known = {word for name in names_of(NAMED[family]) for word in name.split()}
    assert set(label.split("_")) <= known
    captions = [make_clip(Settings(duration_s=0.5), family, index)[1].lower() for index in range(20)]
    assert sum(bool(set(label.split("_")) & set(re.findall(r"\w+", caption))) for caption in captions) >= 4


def test_template_captions_are_there_without_and_with_acoustics():
    captions = [make_clip(Settings(duration_s=0.5), "dog", index)[1] for index in range(60)]
    bare = [caption for caption in captions if caption.startswith("Sound of a ")]
    assert 8 <= len(bare) <= 30 and any("," in caption for caption in bare) and any("," not in caption for caption in bare)
    assert len(set(captions)) > 40


def test_babies_roosters_and_dogs_have_their_pitch():
    babies = [pitch_of(sound_of("crying_baby", seed)[0], 200, 1600) for seed in range(12)]
    assert 300 <= np.median(babies) <= 650
    roosters = [pitch_of(sound_of("rooster", seed)[0], 200, 1600) for seed in range(12)]
    assert 400 <= np.median(roosters) <= 1100
    dogs = [(pitch_of(sound, 120, 1600), words) for sound, words in (sound_of("dog", seed) for seed in range(40))]
    low, high = ([pitch for pitch, words in dogs if word in words] for word in ("deep", "yapping"))
    assert low and high and np.median(low) < 450 < np.median(high)


def test_number_of_barks_is_as_told():
    numbers = {"a ": 1, "two ": 2, "three ": 3}
    for seed in range(40):
        sound, words = sound_of("dog", seed)
        for word, number in numbers.items():
            if words.startswith(word):
                assert number - 1 <= spans(sound) <= number, words


@pytest.mark.parametrize(
    "families",
    [
        ("thunderstorm", "sea_waves", "rain"), ("helicopter", "chainsaw", "brushing_teeth"), ("cow", "sheep"), ("snoring", "breathing"),
        ("pigeon", "crow", "song_bird"), ("church_bells", "glass_breaking"), ("air_conditioner", "vacuum_cleaner"),
    ],
)  # fmt: skip
def test_spectra_are_ordered_as_the_sources_are(families):
    middle = [float(np.median([centroid(sound_of(name, seed, 2.0)[0]) for seed in range(8)])) for name in families]
    assert middle == sorted(middle), middle


def test_crickets_are_nearly_pure_and_high():
    for seed in range(10):
        power = np.abs(np.fft.rfft(sound_of("crickets", seed)[0])) ** 2
        peak = int(np.argmax(power))
        low, high = int(0.85 * peak), int(1.18 * peak)
        assert 2300 <= peak / 3.0 <= 6900 and power[low:high].sum() > 0.9 * power.sum()


def test_helicopter_beats_at_the_rate_of_its_blades():
    hits = 0
    for seed in range(12):
        blade = log_uniform(np.random.default_rng(seed), 8, 28)  # the model's first draw
        sound, words = sound_of("helicopter", seed, 6.0)
        assert ("slow" in words) == (blade < 14)
        envelope = np.convolve(np.abs(sound), np.ones(160) / 160, mode="same")[::80]
        spectrum = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(len(envelope))))
        rates = np.fft.rfftfreq(len(envelope), 80 / RATE)
        inside = (rates > 3.5) & (rates < 60)
        ratio = rates[inside][np.argmax(spectrum[inside])] / blade
        hits += bool(np.min(np.abs(ratio / np.array([0.5, 1.0, 2.0]) - 1)) < 0.06)
    assert hits >= 10


def test_clock_ticks_come_at_regular_times():
    regular = 0
    for seed in range(10):
        sound, _ = sound_of("clock_tick", seed, 5.0)
        energy = np.convolve(sound**2, np.ones(320), mode="same")
        onsets = np.flatnonzero((energy[1:] > 0.1 * energy.max()) & (energy[:-1] <= 0.1 * energy.max()))
        onsets = onsets[np.concatenate([[True], np.diff(onsets) > 0.1 * RATE])]
        steps = np.diff(onsets) / RATE
        assert 0.15 < np.median(steps) < 1.1
        regular += bool(np.std(steps) < 0.06 * np.mean(steps))
    assert regular >= 8


def test_fire_is_spikier_than_rain():
    def kurtosis(sound):
        return float(np.mean(sound**4) / np.mean(sound**2) ** 2)

    rain, fire = (np.median([kurtosis(sound_of(name, seed)[0]) for seed in range(8)]) for name in ("rain", "fire"))
    assert rain < 8 < 20 < fire


def test_cut_off_ends_in_digital_silence_and_keeps_the_energy():
    times, cut = dsp.time_axis(1.0, RATE), 0
    for seed in range(60):
        sound = np.sin(2 * np.pi * 440 * times)
        ended = recording.cut_off(sound, np.random.default_rng(seed), RATE)
        assert np.sum(ended**2) > 0.75 * np.sum(sound**2)
        cut += int(ended[-2] == 0)
    assert 2 <= cut <= 20


def test_recordings_differ_in_place_noise_and_band():
    sound = np.random.default_rng(0).standard_normal(RATE)
    places = [recording.in_place(sound, np.random.default_rng(seed), RATE)[1] for seed in range(60)]
    noises = [recording.background(sound, np.random.default_rng(seed), RATE)[1] for seed in range(60)]
    assert len(set(places)) >= 5 and 0 < sum(bool(words) for words in noises) < 40
    highs = []
    for seed in range(30):
        spectrum = np.abs(np.fft.rfft(recording.microphone(sound, np.random.default_rng(seed), RATE))) ** 2
        highs.append(10 * np.log10(spectrum[7000:7900].mean() / spectrum[900:1100].mean()))
    assert np.std(highs) > 3 and min(highs) < -6


def test_six_hundred_clips_take_less_than_twenty_seconds_of_one_core():
    start = time.process_time()
    for family in NAMED:
        make_clip(Settings(), family, 3)
    assert (time.process_time() - start) / len(NAMED) * 600 < 20
