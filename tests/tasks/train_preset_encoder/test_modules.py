import pytest
import torch

from tasks.preset_encoders.encoder import build, parameter_count
from tasks.preset_encoders.modules import ModuleTokens, PiecewiseLinear, forms
from tasks.preset_encoders.representations import Columns
from tasks.presets.layout import Layout
from tasks.presets.library import load_spec
from tasks.presets.parameters import Parameter, SynthSpec
from tests.tasks.train_preset_encoder.sets import wide

TWO = SynthSpec(
    "two oscillators",
    (
        Parameter(0, "route", "cat", cardinality=3), Parameter(1, "osc1_level", "num"), Parameter(2, "osc1_wave", "cat", cardinality=4),
        Parameter(3, "osc1_coarse", "num", cardinality=5, excluded_categories=(2,)), Parameter(4, "osc2_level", "num"),
        Parameter(5, "osc2_wave", "cat", cardinality=4), Parameter(6, "osc2_coarse", "num", cardinality=5, excluded_categories=(2,)),
        Parameter(7, "lfo1_rate", "num"), Parameter(8, "drive", "bin"),
    ),
)  # fmt: skip


def test_modules_are_read_from_the_names_of_the_shipped_specs():
    found = {name: forms(Layout(load_spec(name))) for name in ("dexed", "builtin_voice", "amsynth", "tal_noisemaker", "diva")}
    operators, rest = found["dexed"]
    assert [form.names for form in operators] == [tuple(f"op{n}" for n in range(1, 7))] and len(rest) == 16
    assert all(len(places) == 14 for places in operators[0].places)
    voice = [form.names for form in found["builtin_voice"][0]]
    assert ("adsr_1", "adsr_2", *(f"lfo_{n}_{what}_adsr" for what in ("rate", "amp") for n in (1, 2))) in voice and (
        "lfo_1",
        "lfo_2",
    ) in voice
    assert ("env1", "env2") in [form.names for form in found["diva"][0]]
    for name, (made, left) in found.items():
        places = [place for form in made for module in form.places for place in module] + list(left)
        assert sorted(places) == list(range(Layout(load_spec(name)).size)), "every parameter is in one place"


def test_a_module_of_one_parameter_is_none():
    made, rest = forms(Layout(TWO))
    assert [(form.names, form.places) for form in made] == [(("osc1", "osc2"), ((1, 2, 3), (4, 5, 6)))] and rest == (0, 7, 8)


def test_hats_are_a_partition_of_one_that_peaks_at_the_knots():
    layout = Layout(TWO)
    encoding = PiecewiseLinear(layout, 5)
    values = torch.linspace(0, 1, 41)
    rows = torch.zeros(41, layout.width)
    rows[:, : len(layout.scalar)] = values[:, None]
    made = encoding(rows)
    assert made.shape == (41, encoding.width)
    level, coarse, drive = (made[:, encoding.columns_of[place]] for place in (1, 3, 8))
    assert level.shape[1] == 1 + 5 and coarse.shape[1] == 1 + 4 and drive.shape[1] == 1
    for hats in (level[:, 1:], coarse[:, 1:]):
        assert torch.allclose(hats.sum(1), torch.ones(41), atol=1e-6) and ((hats > 0).sum(1) <= 2).all()
    at_steps = encoding(torch.tensor([[v] * len(layout.scalar) + [0.0] * layout.categories for v in (0, 0.25, 0.75, 1)]))
    assert torch.allclose(at_steps[:, encoding.columns_of[3][1:]], torch.eye(4), atol=1e-6), "one knot at each step that is left"
    assert torch.allclose(level[:, 0], 2 * values - 1)


def test_modules_of_one_form_share_their_weights_but_not_their_place():
    torch.manual_seed(0)
    layout = Layout(TWO)
    tokens = ModuleTokens(layout, 8, 16, 5).eval()
    assert tokens.shape == (1 + 2 + 2, 8) and len(tokens.makers) == 1
    row = torch.tensor([[1.0, 0.3, 2.0, 0.25, 0.8, 1.0, 0.75, 0.5, 1.0]])
    swapped = row[:, [0, 4, 5, 6, 1, 2, 3, 7, 8]]
    with torch.no_grad():
        tokens.casting.weight.zero_()
        here, there = (tokens(one)[0, 3:] - tokens.place for one in (row, swapped))
    assert torch.allclose(here, there.flip(0), atol=1e-6) and not torch.allclose(here[0], here[1], atol=1e-3)


def test_what_belongs_to_no_module_reaches_every_module():
    torch.manual_seed(0)
    tokens = ModuleTokens(Layout(TWO), 8, 16, 5).eval()
    row = torch.tensor([[0.0, 0.3, 2.0, 0.25, 0.8, 1.0, 0.75, 0.5, 1.0]])
    other = row.clone()
    other[0, 0] = 2.0
    moved = (tokens(row) - tokens(other)).abs().amax(2)[0]
    assert moved[0] == 0 and (moved[1:] > 1e-4).all()


def test_gradients_on_a_knot_are_the_mean_of_both_sides():
    layout = Layout(TWO)
    encoding = PiecewiseLinear(layout, 5)
    weights = torch.randn(encoding.width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    row = Columns(layout).one_hot(torch.tensor([[1.0, 0.25, 2.0, 0.25, 0.5, 1.0, 0.75, 0.75, 1.0]])).double().requires_grad_()
    encoding = encoding.double()
    (encoding(row) @ weights).sum().backward()
    for column in range(len(layout.scalar)):
        step = torch.zeros_like(row)
        step[0, column] = 1e-4
        with torch.no_grad():
            slope = float(((encoding(row + step) - encoding(row - step)) @ weights) / 2e-4)
        assert float(row.grad[0, column]) == pytest.approx(slope, abs=1e-6)


def test_a_synthesiser_without_modules_has_the_two_tokens_of_the_rest():
    model = build("tfm_modules", Layout(wide(6, [3, 3])), 5, token=8, heads=2, hidden=16, blocks=1).eval()
    rows = torch.rand(3, 6).round()
    assert model.representation.shape == (3, 8) and model(rows).shape == (3, 5) and not torch.allclose(model(rows)[0], model(1 - rows)[0])


def test_base_size_counts():
    """Worked out by hand from the form of the network, not from its code."""
    d, h, m, layers = 256, 512, 192, 6
    operator, rest = 13 + 10 * 12 + 32 + 15 + 4 + 2, 14 + 12 * 12 + 2 * 8 + 32 + 5
    maker = lambda inputs, outputs: inputs * h + h + h * h + h + h * outputs + outputs  # noqa: E731
    layer = 4 * d + d * d + d + d * 2 * d + 2 * d + d * d + d + d * 4 * d + 4 * d + 4 * d * d + d
    wanted = maker(operator, d) + maker(rest, 2 * d) + rest * 6 * d + 6 * d + 6 * d + d + layers * layer + 2 * d + d * m + m
    assert parameter_count(build("tfm_modules", Layout(load_spec("dexed")), m)) == wanted


def test_modules_learn_what_the_six_operators_share_faster_than_tokens_per_parameter():
    """The sum of the operators' levels, weighted alike: 300 steps on 2,000 presets."""
    spec = load_spec("dexed")
    layout = Layout(spec)
    rows = torch.from_numpy(spec.sample(1, 0, 3000)).float()
    of_levels = [place for place, name in enumerate(layout.names) if name.endswith("output_level")]
    wanted = torch.sin(6 * rows[:, of_levels]).sum(1, keepdim=True)
    errors = {}
    for name, sizes in (("tfm_modules", {"hidden": 32, "knots": 12}), ("tfm", {"token_sd": 1.0, "position": False})):
        torch.manual_seed(0)
        model = build(name, layout, 1, token=16, blocks=1, heads=2, factor=2.0, init_sd=0.1, **sizes)
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for step in range(300):
            places = torch.randint(0, 2000, (64,), generator=torch.Generator().manual_seed(step))
            optimiser.zero_grad()
            (model.normal(rows[places]) - wanted[places]).square().mean().backward()
            optimiser.step()
        with torch.no_grad():
            errors[name] = float((model.normal(rows[2000:]) - wanted[2000:]).square().mean() / wanted[2000:].var())
    assert errors["tfm_modules"] < 0.5 * errors["tfm"] and errors["tfm_modules"] < 0.5
