import copy
import json

import numpy as np
import pytest
import torch

from core.errors import InvalidValueError
from tasks.preset_encoders import encoder as encoders
from tasks.preset_encoders.bodies import HighwayBlock, ResidualBlock, Transformer, TransformerLayer
from tasks.preset_encoders.encoder import SIZES, build, load, parameter_count, save
from tasks.preset_encoders.inference import embed, embed_file
from tasks.preset_encoders.representations import Columns, OneHot, RawParameters, RecurrentTokens, Tokens, sinusoids
from tasks.presets.layout import Layout
from tasks.presets.library import load_spec
from tests.tasks.train_preset_encoder.sets import SMALL, wide

LAYOUT = Layout(SMALL)
TINY = {"hidden": 16, "blocks": 2, "token": 8, "heads": 2}
PUBLISHED = {
    # name: Dexed; Diva at the one-hot width of the published checkpoints, 412; TAL-NoiseMaker
    "mlp_oh": (4_884_672, 5_439_680, 4_806_848),
    "hn_oh": (6_167_232, 6_375_360, 6_138_048),
    "hn_pt": (6_014_464, 8_423_872, 4_668_544),
    "hn_ptgru": (7_073_856, 7_177_920, 7_059_264),
    "tfm": (4_824_768, 4_894_144, 4_815_040),
}


def tiny(name, layout=LAYOUT, out=5, **sizes):
    torch.manual_seed(0)
    wanted = {**TINY, **({"blocks": 1} if name.startswith("mlp") else {}), **sizes}
    return build(name, layout, out, **{size: value for size, value in wanted.items() if size in SIZES[name]})


def presets(count=7, seed=3):
    return torch.from_numpy(SMALL.sample(seed, 0, count))


@pytest.mark.parametrize("name", PUBLISHED)
def test_base_sizes_have_the_published_numbers_of_weights(name):
    layouts = [
        Layout(load_spec("dexed")), Layout(wide(173, [5] * 29 + [6] * 21 + [19])), Layout(wide(59, [6] * 4 + [7] * 4))
    ]  # fmt: skip
    assert [layout.width for layout in layouts] == [141, 412, 103] and layouts[0].size == 100
    assert tuple(parameter_count(build(name, layout, 192)) for layout in layouts) == PUBLISHED[name]


def test_shipped_specs_of_diva_and_tal_have_the_stated_widths():
    assert [(Layout(load_spec(name)).size, Layout(load_spec(name)).width) for name in ("diva", "tal_noisemaker")] == [(173, 396), (59, 103)]


@pytest.mark.parametrize("name", SIZES)
def test_every_encoder_takes_exact_and_relaxed_presets_alike_and_leaves_its_input_alone(name):
    model = tiny(name).eval()
    given = presets()
    kept = given.clone()
    hot = Columns(LAYOUT).one_hot(given)
    kept_hot = hot.clone()
    exact, relaxed = model(given), model.relaxed(hot)
    assert exact.shape == (7, 5) and torch.allclose(exact, relaxed, atol=1e-5)
    assert torch.equal(given, kept) and torch.equal(hot, kept_hot)
    assert not torch.allclose(exact[0], exact[1], atol=1e-6), "different presets"


@pytest.mark.parametrize("name", SIZES)
def test_gradients_reach_numbers_switches_and_categories(name):
    model = tiny(name).eval()
    hot = Columns(LAYOUT).one_hot(presets(2)).requires_grad_()
    model.relaxed(hot).square().sum().backward()
    assert hot.grad.shape == (2, LAYOUT.width)
    raw = name == "mlp_raw"  # the first category's raw value is 0, so that its share moves nothing there
    moved = hot.grad.abs().sum(0) > 0
    assert int(moved.sum()) == LAYOUT.width - (2 if raw else 0)
    gradient = torch.zeros_like(hot)
    for column in range(LAYOUT.width):
        for row in range(2):
            step = torch.zeros_like(hot)
            step[row, column] = 1e-3
            with torch.no_grad():
                up, down = model.double().relaxed((hot + step).double()), model.relaxed((hot - step).double())
            gradient[row, column] = float((up.square().sum() - down.square().sum()) / 2e-3)
    assert torch.allclose(hot.grad, gradient, rtol=0.05, atol=1e-3)


def test_one_hot_is_scalars_then_blocks_with_offsets():
    row = torch.tensor([[0.25, 2.0, 1.0, 0.5, 1.0, 0.75]])
    wanted = [0.25, 1.0, 0.5, 0.75, 0, 0, 1, 0, 1, 0]
    assert OneHot(LAYOUT)(row).tolist() == [wanted]


def test_raw_values_are_exact_and_in_the_parameters_order():
    row = torch.tensor([[0.25, 2.0, 1.0, 0.5, 1.0, 0.75]])
    found = RawParameters(LAYOUT)(row)
    assert found.tolist() == [pytest.approx(SMALL.raw(row.numpy())[0].tolist())] and found[0, 4] == pytest.approx(2 / 3, abs=1e-7)


def test_tokens_are_vectors_times_values_and_rows_of_the_table_in_the_parameters_order():
    torch.manual_seed(0)
    tokens = Tokens(LAYOUT, 4, cls=True, position=True)
    row = torch.tensor([[0.25, 2.0, 1.0, 0.5, 1.0, 0.75]])
    v, t = tokens.vectors, tokens.table
    wanted = torch.stack([tokens.cls, 0.25 * v[0], t[2], v[1], 0.5 * v[2], t[3 + 1], 0.75 * v[3]]) + sinusoids(7, 4)
    assert torch.allclose(tokens(row)[0], wanted) and tokens.shape == (7, 4)
    assert 0.01 < float(tokens.vectors.detach().std()) < 0.03


def test_a_distribution_is_looked_up_as_the_mean_of_the_rows():
    tokens = Tokens(LAYOUT, 4)
    relaxed = torch.tensor([[0.25, 1.0, 0.5, 0.75, 0.2, 0.3, 0.5, 0.1, 0.6, 0.3]])
    table = tokens.table
    found = tokens.relaxed(relaxed)[0]
    assert torch.allclose(found[1], 0.2 * table[0] + 0.3 * table[1] + 0.5 * table[2], atol=1e-7)
    assert torch.allclose(found[4], 0.1 * table[3] + 0.6 * table[4] + 0.3 * table[5], atol=1e-7)


def test_position_code_is_the_published_formula():
    code = sinusoids(5, 6)
    for position in range(5):
        for pair in range(3):
            angle = position / 10_000 ** (2 * pair / 6)
            assert code[position, 2 * pair] == pytest.approx(np.sin(angle), abs=1e-6)
            assert code[position, 2 * pair + 1] == pytest.approx(np.cos(angle), abs=1e-6)
    with pytest.raises(InvalidValueError, match="pairs"):
        sinusoids(5, 3)


def test_recurrent_tokens_join_the_final_states_of_both_directions():
    torch.manual_seed(0)
    made = RecurrentTokens(LAYOUT, 8, factor=2.0, layers=2, norm=True)
    tokens = made.norm(made.tokens(presets(3)))
    whole, _ = made.gru(tokens)  # [B, T, 2 · 8]: the last step of one direction, the first of the other
    assert torch.allclose(made(presets(3)), torch.cat([whole[:, -1, :8], whole[:, 0, 8:]], 1), atol=1e-6)
    weights = dict(made.gru.named_parameters())
    assert not weights["bias_ih_l0"].any() and not weights["bias_hh_l1_reverse"].any()
    recurrent = weights["weight_hh_l0"].detach()[:8]
    assert torch.allclose(recurrent @ recurrent.T, torch.eye(8), atol=1e-5)


def test_highway_block_is_gated_and_begins_by_passing_its_input_on():
    torch.manual_seed(0)
    block = HighwayBlock(6, 6, "batch", 0.0)
    given = torch.randn(9, 6)
    assert torch.equal(block.gate.bias, torch.full((6,), -1.0)) and block.plain[0].bias is None
    plain, gate = copy.deepcopy(block.plain)(given), torch.sigmoid(given @ block.gate.weight.T - 1)
    assert torch.allclose(block(given), gate * plain + (1 - gate) * given, atol=1e-6)
    widening = HighwayBlock(6, 8, "layer", 0.0)
    assert widening.gate is None and torch.allclose(widening(given), widening.plain(given))


def test_residual_block_is_the_published_formula():
    torch.manual_seed(0)
    block, given = ResidualBlock(6, 6, "layer", 0.0), torch.randn(9, 6)
    (first, norm, _, _), second, norm_two, _ = block.branch
    inner = torch.relu(norm(given @ first.weight.T))
    assert torch.allclose(block(given), torch.relu(given + norm_two(inner @ second.weight.T)), atol=1e-6)
    assert not ResidualBlock(6, 8, "batch", 0.0).skips


def test_transformer_layer_equals_torchs_pre_norm_layer():
    torch.manual_seed(0)
    layer, given = TransformerLayer(8, 2, 4.0, 0.0), torch.randn(3, 6, 8)
    peer = torch.nn.TransformerEncoderLayer(8, 2, 32, 0.0, "relu", batch_first=True, norm_first=True)
    with torch.no_grad():
        for name in ("weight", "bias"):
            joined = torch.cat([getattr(layer.ask, name), getattr(layer.know, name)])
            getattr(peer.self_attn, f"in_proj_{name}").copy_(joined)
            pairs = [(peer.self_attn.out_proj, layer.join), (peer.norm1, layer.norm), (peer.norm2, layer.forward_norm)]
            for theirs, ours in [*pairs, (peer.linear1, layer.feed_forward[0]), (peer.linear2, layer.feed_forward[3])]:
                getattr(theirs, name).copy_(getattr(ours, name))
    assert torch.allclose(layer(given), peer(given), atol=1e-5)
    assert torch.allclose(layer(given, 1), peer(given)[:, :1], atol=1e-5), "only what the CLS token needs"


def test_transformer_reads_the_cls_token_or_the_mean_over_all_tokens():
    torch.manual_seed(0)
    given = torch.randn(3, 6, 8)
    for pooling in ("cls", "avg"):
        body = Transformer(8, 2, 2, 2.0, pooling, 0.0)
        tokens = body.layers[1](body.layers[0](given))
        pooled = tokens[:, 0] if pooling == "cls" else tokens.mean(1)
        assert torch.allclose(body(given), torch.relu(body.norm(pooled)), atol=1e-6)
    averaged = tiny("tfm", pooling="avg")
    assert averaged.representation.cls is None and averaged.representation.shape == (6, 8), "no token is left out of the mean"


def test_normalisation_is_undone_in_the_output():
    model = tiny("mlp_oh").eval()
    model.set_normalisation(torch.arange(5.0), torch.arange(5.0) + 1)
    given = presets()
    assert torch.allclose(model(given), model.normal(given) * (torch.arange(5.0) + 1) + torch.arange(5.0))
    assert torch.allclose(model.normalised(model(given)), model.normal(given), atol=1e-5)


def test_saved_and_loaded_gives_the_same_embeddings_and_the_same_bytes(tmp_path):
    model = tiny("tfm").eval()
    model.set_normalisation(torch.full((5,), 2.0), torch.full((5,), 3.0))
    for name in ("one.pt", "two.pt"):
        save(tmp_path / name, model, SMALL, {"seed": 4, "trained_on": ["x"]})
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()
    loaded, spec, config = load(tmp_path / "one.pt")
    rows = SMALL.sample(1, 0, 300)
    with torch.no_grad():
        assert np.allclose(embed(loaded, rows), model(torch.from_numpy(rows)).numpy(), atol=1e-6)
    assert np.allclose(embed(loaded, rows)[256:258], embed(loaded, rows[256:258]), atol=1e-6), "whatever the rows around"
    assert spec.digest == SMALL.digest and config["seed"] == 4 and config["sizes"]["token"] == 8 and embed(loaded, rows[:0]).shape == (0, 5)
    assert set(torch.load(tmp_path / "one.pt", weights_only=True)) == {"state", "config"}
    assert json.loads(torch.load(tmp_path / "one.pt", weights_only=True)["config"]["spec"])["name"] == "small"


def test_a_preset_file_is_embedded_as_its_clipped_and_snapped_values_are(tmp_path):
    model = tiny("hn_oh").eval()
    save(tmp_path / "model.pt", model, SMALL, {})
    values = {"osc1_level": 0.3, "osc1_wave": 0.9, "on": 1.0, "osc1_pitch": 0.5, "mode": 0.66, "steps": 0.6}
    (tmp_path / "mine.json").write_text(json.dumps({"1": {"meta": {"name": "mine"}, "parameters": values}}))
    names, found = embed_file(tmp_path, tmp_path / "mine.json")
    with torch.no_grad():
        wanted = model(torch.tensor([[0.3, 2.0, 1.0, 0.5, 1.0, 0.5]])).numpy()
    assert len(names) == 1 and np.allclose(found, wanted, atol=1e-6)


def test_seeds_decide_on_first_weights():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build("hn_ptgru", LAYOUT, 3, hidden=4, token=4).state_dict())
    same = [all(torch.equal(states[0][name], other[name]) for name in states[0]) for other in states[1:]]
    assert same == [True, False]


@pytest.mark.parametrize(
    ("name", "sizes", "said"),
    [
        ("mlp", {}, "no such encoder"),
        ("mlp_oh", {"token": 8}, "no such size"),
        ("mlp_oh", {"hidden": 0}, "too small"),
        ("mlp_oh", {"norm": "group"}, "not one of the choices"),
        ("tfm", {"token": 8, "heads": 3}, "divide"),
    ],
)
def test_what_cannot_be_built_is_refused(name, sizes, said):
    with pytest.raises(InvalidValueError, match=said):
        build(name, LAYOUT, 3, **sizes)


def test_presets_of_another_shape_and_missing_models_are_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="an exact preset has 6 values, a relaxed one 10"):
        tiny("mlp_oh")(torch.zeros(2, 10))
    with pytest.raises(InvalidValueError, match="another shape"):
        tiny("tfm").relaxed(torch.zeros(2, 6))
    with pytest.raises(InvalidValueError, match="no trained preset encoder"):
        load(tmp_path)
    assert encoders.MODEL == "model.pt"
