"""Image sources against sums of one's own, expected decays against image sources, tails against what they replace."""

import numpy as np
import pyroomacoustics as pra
import pytest
from scipy import signal

from tasks.simulate_rooms import decay, simulator
from tasks.simulate_rooms.simulator import DELAY, Engine, Scene
from tasks.spatial import acoustics, foa

RATE = 16000
ROOM = (6.0, 4.5, 3.0)
SCENE = Scene(ROOM, (0.3,), (1.7, 3.1, 1.9), (3.2, 2.0, 1.4))


def lattice(scene, order):
    """Every image source by hand: position [N, 3] and number of reflections [N]."""
    axes = []
    for side, at in zip(scene.dims_m, scene.source_m, strict=True):
        numbers = np.repeat(np.arange(-order, order + 1), 2)
        signs = np.tile([1, -1], 2 * order + 1)
        axes.append((2 * numbers * side + signs * at, np.abs(2 * numbers - (signs < 0))))
    walls = axes[0][1][:, None, None] + axes[1][1][:, None] + axes[2][1]
    places = np.stack(np.meshgrid(*(axis[0] for axis in axes), indexing="ij"), axis=-1)
    kept = walls <= order
    return places[kept], walls[kept]


def test_direct_sounds_have_ambix_gains_and_fall_with_distance():
    rng = np.random.default_rng(0)
    for rate in (16000, 48000):
        for _ in range(12):
            azimuth, elevation, distance = rng.uniform(-180, 180), rng.uniform(-80, 80), rng.uniform(0.5, 4.0)
            centre = np.array([10.0, 10.0, 10.0])
            source = centre + distance * foa.unit_vector(azimuth, elevation)
            found = simulator.direct_sound(Scene((20.0, 20.0, 20.0), (0.5,), tuple(source), tuple(centre)), Engine(rate))
            gains = found @ found[0] / (found[0] @ found[0])
            assert np.abs(gains - foa.gains(azimuth, elevation)).max() < 1e-5
            assert (found[0] ** 2).sum() * distance**2 == pytest.approx(1, abs=0.04)
            assert abs(np.argmax(np.abs(found[0])) - DELAY - distance / 343 * rate) <= 0.51


def test_reflections_are_those_of_an_image_sum_of_ones_own():
    order = 7
    found, count = simulator.image_sources(SCENE, Engine(RATE), order, np.inf)
    images, walls = lattice(SCENE, order)
    assert count == len(images) == simulator.image_count(order)
    offsets = images - np.array(SCENE.receiver_m)
    distances = np.linalg.norm(offsets, axis=1)
    gains = np.stack([np.ones(len(images)), *(offsets[:, axis] / distances for axis in (1, 2, 0))])
    amplitudes = 0.7 ** (walls / 2) / distances
    for frequency in (250.0, 997.0, 2500.0, 5000.0):
        phases = np.exp(-2j * np.pi * frequency * (distances / 343 + DELAY / RATE))
        expected = gains @ (amplitudes * phases)
        times = np.arange(found.shape[1]) / RATE
        measured = found @ np.exp(-2j * np.pi * frequency * times)
        measured /= signal.freqz_sos(simulator._high_pass(RATE), frequency, fs=RATE)[1]
        assert np.abs(measured - expected).max() < 0.01 * np.abs(expected).max(), frequency


def test_nothing_is_missing_before_the_time_an_order_is_complete_until():
    for dims in (ROOM, (12.0, 5.0, 3.0), (3.7, 3.6, 2.4)):
        scene = Scene(dims, (0.2,), tuple(0.9 * side for side in dims), tuple(0.15 * side for side in dims))
        images, walls = lattice(scene, 14)
        distances = np.linalg.norm(images - np.array(scene.receiver_m), axis=1)
        for order in (4, 8, 12):
            assert distances[walls > order].min() / 343 > simulator.complete_until(dims, order)
        time = simulator.complete_until(dims, 9)
        assert simulator.order_until(dims, time) <= 10


def test_expected_power_is_that_of_image_sources():
    for dims, alpha in ((ROOM, 0.2), ((8.0, 5.0, 3.0), 0.35)):
        scene = Scene(dims, (alpha,), (1.3, 2.9, 1.1), (dims[0] / 2, dims[1] / 2, 1.5))
        images, walls = lattice(scene, 30)
        offsets = images - np.array(scene.receiver_m)
        distances = np.linalg.norm(offsets, axis=1)
        until = simulator.complete_until(dims, 30)
        powers = (1 - alpha) ** walls / distances**2
        shares = np.concatenate([np.ones((len(images), 1)), (offsets[:, [1, 2, 0]] / distances[:, None]) ** 2], axis=1)
        for low, high in ((0.05, 0.1), (0.1, 0.16)):
            assert high < until
            here = (distances / 343 >= low) & (distances / 343 < high)
            times = np.linspace(low, high, 200)
            expected = decay.power(dims, (alpha,), (0.0,), times)[0].mean(axis=1) * (high - low)
            assert np.allclose(powers[here] @ shares[here], expected, rtol=0.12, atol=0.01 * expected[0])


def test_the_absorption_that_is_found_gives_the_wanted_t30():
    for dims, t30 in ((ROOM, 0.5), ((4.0, 3.5, 3.0), 0.25), ((18.0, 14.0, 3.0), 1.4)):
        alphas = decay.matched_absorption(dims, np.ones(1), (0.0,), (1.0,), t30, (0.05, 0.95))
        assert decay.expected_t30_s(dims, alphas, (0.0,), (1.0,)) == pytest.approx(t30, rel=0.01)
        response = simulator.simulate(Scene(dims, tuple(alphas), (1.0, 1.0, 1.0), (2.1, 1.9, 1.5)), Engine(RATE), np.random.default_rng(1))
        assert acoustics.measure(response.samples[0], RATE).t30_ms == pytest.approx(1000 * t30, rel=0.12)
    least = decay.matched_absorption(ROOM, np.ones(1), (0.0,), (1.0,), 20.0, (0.05, 0.95))
    assert least[0] == pytest.approx(0.05), "no more than the limits allow"
    assert decay.sabine_absorption((6.0, 5.0, 3.0), 0.5) == pytest.approx(0.161 * 90 / (126 * 0.5))
    assert decay.mixing_time_s((10.0, 10.0, 4.0)) == pytest.approx(0.020)


def test_a_cheap_hybrid_decays_like_all_its_image_sources():
    scene = Scene(ROOM, (0.25,), SCENE.source_m, SCENE.receiver_m)
    whole = simulator.simulate(scene, Engine(RATE, max_images=900_000), np.random.default_rng(0))
    cheap = simulator.simulate(scene, Engine(RATE, max_images=5_000), np.random.default_rng(0))
    assert cheap.images < 0.1 * whole.images and cheap.order < 20 < whole.order
    assert whole.samples.shape == cheap.samples.shape and whole.crossover_s * RATE == pytest.approx(whole.samples.shape[1] - DELAY, abs=1)
    first = int((cheap.crossover_s - 0.01) * RATE)
    assert np.abs(cheap.samples[:, :first] - whole.samples[:, :first]).max() < 1e-6
    t30 = [acoustics.measure(one.samples[0], RATE).t30_ms for one in (cheap, whole)]
    assert t30[0] == pytest.approx(t30[1], rel=0.06)
    start, stop = int((cheap.crossover_s + 0.02) * RATE), int((cheap.crossover_s + 0.15) * RATE)
    assert acoustics.measure(whole.samples[0], RATE).t30_ms == pytest.approx(
        1000 * decay.expected_t30_s(ROOM, (0.25,), (0.0,), (1.0,)), rel=0.06
    )
    levels = [10 * np.log10((one.samples[0, start:stop] ** 2).sum()) for one in (cheap, whole)]
    assert levels[0] == pytest.approx(levels[1], abs=1.5)


def test_tails_are_diffuse_or_have_the_image_sources_shares():
    scene, rng = Scene((9.0, 7.0, 3.0), (0.15,), (2.0, 2.0, 1.0), (4.0, 3.5, 1.5)), np.random.default_rng(5)
    made = {kind: simulator.tail(scene, Engine(RATE, tail=kind), 0.1, RATE, rng)[:, 1800:6000] for kind in ("isotropic", "specular")}
    energies = {kind: (one**2).sum(axis=1) / (one[0] ** 2).sum() for kind, one in made.items()}
    assert np.allclose(energies["isotropic"][1:], 1 / 3, rtol=0.15), "Var(dipole) = Var(W) / 3"
    assert energies["specular"][1:].sum() == pytest.approx(1, rel=0.15) and energies["specular"][2] < 0.2, "floor and ceiling are near"
    correlations = np.corrcoef(made["isotropic"])
    assert np.abs(correlations - np.eye(4)).max() < 0.08
    ended = simulator.simulate(scene, Engine(RATE, tail="none", max_images=2000), rng)
    after = int((ended.crossover_s + 0.001) * RATE) + DELAY
    assert not ended.samples[:, after:].any()


def test_octave_bands_decay_each_at_its_own_pace_and_the_air_takes_the_highs():
    engine = Engine(RATE, max_images=15_000)
    centres, widths = simulator.bands(RATE)
    assert sum(widths) == pytest.approx(1) and len(centres) == len(widths)
    alphas = tuple(np.where(np.array(centres) < 700, 0.1, 0.4).tolist())
    scene = Scene(ROOM, alphas, SCENE.source_m, SCENE.receiver_m)
    response = simulator.simulate(scene, engine, np.random.default_rng(2))
    octaves = acoustics.measure(response.samples[0], RATE).octave_t30_ms
    for centre, alpha in ((250, 0.1), (2000, 0.4)):
        expected = 1000 * decay.expected_t30_s(ROOM, (alpha,), (0.0,), (1.0,))
        assert octaves[centre] == pytest.approx(expected, rel=0.2), centre
    peak = int(np.argmax(np.abs(response.samples[0])))
    assert abs(peak - DELAY - np.linalg.norm(np.subtract(SCENE.source_m, SCENE.receiver_m)) / 343 * RATE) < 2
    air = simulator.medium(Engine(RATE, air_absorption=True), len(alphas))[0]
    assert air[-1] > 5 * air[1] > 0
    gains = simulator._band_gains(engine, len(alphas), 4096)
    assert np.allclose((gains**2).sum(axis=0), 1)


def test_the_published_way_is_four_cardioids_on_a_sphere_of_five_centimetres():
    engine = Engine(48000, tetrahedron=True)
    scene = Scene((8.0, 6.0, 3.0), (0.3,), (6.0, 4.0, 2.0), (4.0, 3.0, 1.5))
    response = simulator.simulate(scene, engine, np.random.default_rng(0))
    assert response.order == 10 and response.images == 1561 and response.samples.dtype == np.float32
    direct = simulator.direct_sound(scene, engine)
    for microphone, corner in zip(direct, simulator.TETRAHEDRON, strict=True):
        towards = np.subtract(scene.source_m, scene.receiver_m) - 0.05 * corner
        distance = np.linalg.norm(towards)
        expected = 0.5 * (1 + towards @ corner / distance) / distance
        assert np.sqrt((microphone**2).sum()) == pytest.approx(expected, rel=0.03)
    assert not pra.constants.get("rir_hpf_enable") and response.samples[0].sum() > 0.2, "no high-pass: all images are positive"
