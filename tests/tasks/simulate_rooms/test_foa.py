"""The room tasks/spatial: FOA against spherical harmonics and against itself turned."""

import numpy as np
import pytest
from scipy import special

from core.errors import InvalidValueError
from tasks.spatial import foa

RNG = np.random.default_rng(3)
AZIMUTHS, ELEVATIONS = RNG.uniform(-180, 180, 50), RNG.uniform(-90, 90, 50)


def real_harmonics(azimuth_deg, elevation_deg):
    """Orthonormal real spherical harmonics of degree 0 and 1 in ACN order, by SciPy's complex ones."""
    theta, phi = np.pi / 2 - np.deg2rad(elevation_deg), np.deg2rad(azimuth_deg)
    found = [special.sph_harm_y(0, 0, theta, phi).real]
    for order in (-1, 0, 1):
        whole = special.sph_harm_y(1, abs(order), theta, phi)
        found.append(whole.real if order == 0 else -np.sqrt(2) * (whole.imag if order < 0 else whole.real))
    return np.stack(found, axis=-1)


def test_gains_are_spherical_harmonics_in_ambix_order():
    harmonics = real_harmonics(AZIMUTHS, ELEVATIONS)
    given = foa.gains(AZIMUTHS, ELEVATIONS)[:, :, None]
    assert np.allclose(foa.from_ambix(given, foa.Convention(normalisation="orthonormal"))[..., 0], harmonics)
    assert np.allclose(foa.from_ambix(given, foa.Convention(normalisation="N3D"))[..., 0], harmonics * np.sqrt(4 * np.pi))
    left = foa.gains(90.0, 0.0)
    assert np.allclose(left, [1, 1, 0, 0]), "left is positive"


def test_conventions_come_back_and_have_their_published_gains():
    samples = RNG.standard_normal((2, 4, 30)).astype(np.float32)
    for order in ("ACN", "FuMa"):
        for normalisation in foa.SCALES:
            for sign in ("left_positive", "right_positive"):
                convention = foa.Convention(order, normalisation, sign)
                there = foa.from_ambix(samples, convention)
                assert there.dtype == np.float32 and np.allclose(foa.to_ambix(there, convention), samples, atol=1e-6)
    w, y, z, x = samples[0]
    fuma = foa.from_ambix(samples[0], foa.Convention("FuMa", "FuMa"))
    assert np.allclose(fuma, [w / np.sqrt(2), x, y, z]), "Malham (1999): W is 3 dB down"
    assert np.allclose(foa.from_ambix(samples[0], foa.Convention(azimuth_sign="right_positive")), [w, -y, z, x])


def test_a_tetrahedron_of_cardioids_gives_dipoles_of_one_over_root_three():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    directions = foa.unit_vector(AZIMUTHS, ELEVATIONS)
    microphones = 0.5 * (1 + corners @ directions.T)  # coincident, so that no spacing blurs it
    found = foa.to_ambix(foa.from_tetrahedron(microphones), foa.Convention(normalisation="DISSE"))
    assert np.allclose(found, foa.gains(AZIMUTHS, ELEVATIONS).T)


@pytest.mark.parametrize("turn", [(30, 0, 0), (0, 40, 0), (0, 0, 50), (-100, 20, 170)])
def test_turned_sounds_come_from_where_turned_labels_say(turn):
    matrix = foa.rotation(*turn)
    sound = RNG.standard_normal(64)
    for azimuth, elevation in zip(AZIMUTHS[:20], ELEVATIONS[:20], strict=True):
        turned = foa.rotate(foa.encode(sound, azimuth, elevation), matrix)
        assert np.allclose(turned, foa.encode(sound, *foa.rotate_label(azimuth, elevation, matrix)))
        assert float(foa.apart_deg(foa.direction(turned), foa.rotate_label(azimuth, elevation, matrix))) < 1e-5
    assert np.allclose(matrix @ matrix.T, np.eye(3)) and np.linalg.det(matrix) == pytest.approx(1)


def test_yaw_adds_to_azimuths_pitch_lifts_the_front_and_roll_the_left():
    assert foa.rotate_label(10.0, 5.0, foa.rotation(yaw_deg=30)) == (pytest.approx(40), pytest.approx(5))
    assert foa.rotate_label(0.0, 0.0, foa.rotation(pitch_deg=30))[1] == pytest.approx(30)
    assert foa.rotate_label(90.0, 0.0, foa.rotation(roll_deg=30))[1] == pytest.approx(30)


def test_stereo_hears_what_is_left_on_the_left():
    sound = RNG.standard_normal(100).astype(np.float32)
    left, right = foa.stereo(foa.encode(sound, 90.0, 0.0))
    assert np.allclose(left, sound, atol=1e-6) and np.abs(right).max() < 1e-6
    middle = foa.stereo(foa.encode(sound, 0.0, 0.0), 45.0)
    assert np.allclose(middle[0], middle[1]) and np.allclose(middle[0], sound * 0.5 * (1 + np.sqrt(0.5)), atol=1e-6)
    assert foa.stereo(np.zeros((3, 4, 5), np.float32)).shape == (3, 2, 5)


def test_angles_between_directions_are_exact_across_the_back_and_when_small():
    assert float(foa.apart_deg((179.0, 0.0), (-179.0, 0.0))) == pytest.approx(2.0)
    assert float(foa.apart_deg((0.0, 90.0), (120.0, 89.0))) == pytest.approx(1.0)
    assert float(foa.apart_deg((10.0, 0.0), (10.0 + 1e-7, 0.0))) == pytest.approx(1e-7, rel=1e-3)
    assert float(foa.apart_deg((0.0, 0.0), (180.0, 0.0))) == pytest.approx(180.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: foa.rotate(np.zeros((3, 10)), np.eye(3)), "4, samples"), (lambda: foa.to_ambix(np.zeros(4), foa.AMBIX), "4, samples"),
        (lambda: foa.Convention(normalisation="MaxN"), "FuMa"), (lambda: foa.Convention(order="SID"), "ACN"),
        (lambda: foa.Convention(azimuth_sign="left"), "left_positive"),
    ],
)  # fmt: skip
def test_wrong_sounds_and_conventions_are_refused(call, said):
    with pytest.raises(InvalidValueError, match=said):
        call()
