import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.fx.experimental._config
from transformers import ClapFeatureExtractor

from core.errors import InvalidValueError
from tasks.spatial_model import source_branch as source_branch_module
from tasks.spatial_model.intensity_branch import AddCoordinates, SpatialBranch
from tasks.spatial_model.network import SpatialTextModel, weights
from tasks.spatial_model.sizes import CPU, Sizes, from_plain, to_plain
from tasks.spatial_model.source_branch import log_mel, source_branch
from tasks.spatial_model.text import BEGIN, END, PAD, SPECIAL, UNKNOWN, TextEncoder, WordTokenizer
from tasks.train_spatial.recipe import plan, sizes
from tasks.train_spatial.spec import Settings

DISSE = {
    "audio_encoder.spatial_branch.act.cnn.0.1.weight": (16, 5, 3, 3),
    "audio_encoder.spatial_branch.rea.cnn.5.0.weight": (16, 16, 3, 3),
    "audio_encoder.spatial_branch.act.cnn.0.2.running_mean": (16,),
    "audio_encoder.spatial_branch.act.cnn.5.1.bias": (16,),
    "audio_encoder.spatial_branch.mlp.0.weight": (128, 2400),
    "audio_encoder.spatial_branch.mlp.2.weight": (32, 128),
    "audio_encoder.spatial_branch.mlp.4.weight": (44, 32),
    "audio_encoder.spatial_to_elsa.1.weight": (192, 44),
    "audio_encoder.audio_projection.0.weight": (768, 960),
    "audio_encoder.audio_projection.2.weight": (512, 768),
    "audio_encoder.htsat.model.audio_encoder.norm.weight": (768,),
    "text_encoder.roberta.pooler.dense.weight": (768, 768),
    "text_encoder.roberta.embeddings.word_embeddings.weight": (50265, 768),
    "text_encoder.proj1.weight": (640, 768),
    "text_encoder.proj2.weight": (512, 640),
    "audio_space_head.1.weight": (512, 512),
    "audio_source_head.1.bias": (512,),
    "text_space_head.1.weight": (512, 512),
    "text_source_head.1.weight": (512, 512),
    "logit_scale": (),
    "direction_head.fc1.weight": (64, 512),
    "direction_head.fc2.weight": (2, 64),
    "area_head.fc2.weight": (1, 64),
    "distance_head.fc2.weight": (1, 64),
    "reverb_head.fc2.weight": (1, 64),
}
"""Names and shapes of the released model's parts."""


class NoWords(WordTokenizer):
    def __init__(self):
        super().__init__([], 512)


def test_spatial_branch_has_the_published_number_of_weights_and_shapes():
    branch = SpatialBranch(Sizes()).eval()
    assert weights(branch) == 337_964
    maps = torch.randn(1, 3, 201, 1601)
    with torch.no_grad():
        assert branch.act.cnn(maps).shape == (1, 16, 3, 25) and branch.act(maps).shape == (1, 1200)
        assert branch(maps, maps).shape == (1, 44)


def test_coordinates_run_from_minus_one_to_one_down_and_across():
    found = AddCoordinates()(torch.zeros(2, 3, 4, 5))
    assert found.shape == (2, 5, 4, 5)
    assert torch.allclose(found[1, 3, :, 2], torch.linspace(-1, 1, 4)) and torch.allclose(found[0, 4, 1], torch.linspace(-1, 1, 5))


def test_the_paper_preset_is_the_released_architecture(monkeypatch):
    shape = sizes(Settings(preset="paper", compat=True))
    assert shape.maps == (201, 1601) and shape.branch_features == 1200
    monkeypatch.setattr(source_branch_module, "log_mel", lambda sizes: torch.nn.Identity())  # has no weights, and looks at its own numbers
    # 162 million weights without their memory; initialisation looks for the padding token's row.
    with torch.device("meta"), torch.fx.experimental._config.patch(meta_nonzero_assume_all_nonzero=True):
        model = SpatialTextModel(shape, NoWords())
    state = {name: tuple(part.shape) for name, part in model.state_dict().items()}
    assert {name: state.get(name) for name in DISSE} == DISSE
    assert 150e6 < weights(model) < 165e6, "about 162 million"
    assert sizes(Settings(preset="paper", space_width=256)).space == 256
    settings = Settings(preset="paper")
    resolved = plan(settings, 240, 50, shape, "cuda")
    assert (resolved.items, resolved.epoch_steps, resolved.steps) == (72, 10, 400)
    assert resolved.learning_rate == 5e-5 and resolved.precision == "float16"


def test_rate_warms_up_holds_and_falls_to_its_floor():
    resolved = plan(Settings(steps=1000, learning_rate=1.0), 16, 16, CPU, "cpu")
    rates = [resolved.rate_at(update) for update in range(1000)]
    assert rates[0] == pytest.approx(1 / 50) and rates[49] == 1.0 and rates[349] == 1.0 and rates[-1] == pytest.approx(0.3, abs=1e-4)
    assert rates[350 + 325] == pytest.approx(0.65, abs=1e-3), "half-way down the cosine"
    assert resolved.rate_at(5000) == pytest.approx(0.3)


@pytest.mark.parametrize("truncation", ["rand_trunc", "fusion"])
def test_mel_in_the_graph_is_that_of_transformers(truncation):
    sound = np.random.default_rng(0).standard_normal(48_000 * 2).astype(np.float32) * 0.1
    sound[40_000:60_000] *= 1e-3
    extractor = ClapFeatureExtractor(truncation=truncation, frequency_min=50, frequency_max=14_000, max_length_s=2)
    expected = extractor(sound, sampling_rate=48_000, return_tensors="pt")["input_features"][0, 0]
    found = log_mel(Sizes(mel_truncation=truncation))(torch.from_numpy(sound)[None])[0, 0]
    assert found.shape == expected.shape == (201, 64)
    assert (found - expected).abs().max() < 0.02, "dB"


def test_small_htsat_and_small_network_hear_waves():
    for name in ("cnn", "htsat"):
        shape = sizes(Settings(source=name))
        branch = source_branch(shape).eval()
        with torch.no_grad():
            found = branch(torch.randn(2, shape.samples))
        assert found.shape == (2, branch.width) and not torch.allclose(found[0], found[1])


def test_words_become_tokens_regardless_of_case_and_points():
    tokenizer = WordTokenizer.of(["The mid-sized room.", "a Dog"], 6)
    assert tokenizer.vocabulary == ["a", "dog", "mid-sized", "room", "the"]
    numbers, mask = tokenizer(["a dog", "the  MID-SIZED, room", "a cat a dog the room a"])
    assert numbers[0].tolist() == [BEGIN, 4, 5, END, PAD, PAD] and mask[0].tolist() == [1, 1, 1, 1, 0, 0]
    assert numbers[1].tolist() == [BEGIN, 8, 6, 7, END, PAD] and numbers[2].tolist() == [BEGIN, 4, UNKNOWN, 4, 5, END]


def small_model(**changes):
    torch.manual_seed(0)
    shape = sizes(Settings(duration_s=0.9, **changes))
    return SpatialTextModel(shape, WordTokenizer.of(["a dog near far"], shape.text_tokens))


def heard(model, rows=3):
    torch.manual_seed(1)
    maps = torch.randn(2, rows, 3, *model.sizes.maps)
    return model.hear(maps[0], maps[1], torch.randn(rows, model.sizes.samples))


def test_embeddings_heads_and_scales():
    model = small_model().eval()
    found, read = heard(model), model.read_captions(["a dog near", "far", "a"])
    assert found.space.shape == (3, 128) and found.source.shape == (3, 128) and read.space.shape == (3, 128)
    assert found.direction.shape == (3, 3) and found.quantities.shape == (3, 3)
    assert all(float(scale.detach()) == pytest.approx(1 / 0.07, rel=1e-5) for scale in model.scales())
    with torch.no_grad():
        model.logit_scale.fill_(math.log(500))
    assert [float(scale.detach()) for scale in model.scales()] == pytest.approx([100, 100], rel=1e-5)
    assert small_model(separate_scales=True).logit_scale.shape == (2,) and heard(small_model(compat=True)).direction.shape == (3, 2)


def test_padding_does_not_change_a_caption():
    model = small_model().eval()
    alone, beside = model.read_captions(["a dog"]).space[0], model.read_captions(["a dog", "a dog near far a dog"]).space[0]
    assert torch.allclose(alone, beside, atol=1e-6)


def test_words_are_heard_beside_the_pooled_output_where_they_have_a_gain():
    tokenizer = WordTokenizer(["a", "dog", "left", "near"], 64)
    torch.manual_seed(0)
    encoder = TextEncoder(CPU, 8).eval()
    tokens, mask = tokenizer(["a dog near", "left"])
    table, pooled = encoder.roberta.embeddings.word_embeddings.weight, encoder.roberta(input_ids=tokens, attention_mask=mask).pooler_output
    for row, numbers in enumerate(([BEGIN, 4, 5, 7, END], [BEGIN, 6, END])):
        heard = pooled[row] + 4.0 * table[numbers].sum(0) / math.sqrt(len(numbers))
        assert torch.allclose(encoder(tokens, mask)[row], encoder.proj2(encoder.proj1(heard).relu()), atol=1e-5)
    encoder.word_gain = Sizes().word_gain
    assert torch.allclose(encoder(tokens, mask), encoder.proj2(encoder.proj1(pooled).relu()), atol=1e-6), "as published"


def test_with_their_gain_a_small_text_encoder_learns_several_words_at_once():
    """Targets are sums of a vector per word, three words of three each: what a caption must be told from by all of its words."""
    words = [[f"{kind}{value}" for value in "xyz"] for kind in ("far", "up", "dry")]
    captions = [f"the dog {' and '.join(said)} of a room" for said in itertools.product(*words)]
    tokenizer = WordTokenizer.of(captions, 64)
    drawn = torch.Generator().manual_seed(0)
    vectors = {word: torch.randn(CPU.shared, generator=drawn) for group in words for word in group}
    targets = torch.nn.functional.normalize(torch.stack([sum(vectors[word] for word in said) for said in itertools.product(*words)]), dim=1)
    found = {}
    for gain in (0.0, CPU.word_gain):
        torch.manual_seed(0)
        encoder = TextEncoder(replace(CPU, word_gain=gain), len(tokenizer.vocabulary) + SPECIAL)
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
        for _ in range(30):
            loss = 1 - torch.nn.functional.cosine_similarity(encoder(*tokenizer(captions)), targets).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            scores = torch.nn.functional.normalize(encoder.eval()(*tokenizer(captions)), dim=1) @ targets.T
        found[gain] = float((scores.argmax(1) == torch.arange(27)).float().mean())
    assert found[CPU.word_gain] > 0.8 and found[CPU.word_gain] > found[0.0] + 0.4, found


def test_frozen_parts_keep_weights_and_statistics():
    model = small_model()
    model.freeze(("spatial_branch", "roberta"))
    model.train()
    before = {name: part.clone() for name, part in model.part("spatial_branch").state_dict().items()}
    heard(model).space.sum().backward()
    assert all(torch.equal(before[name], part) for name, part in model.part("spatial_branch").state_dict().items())
    assert all(part.grad is None for part in model.part("spatial_branch").parameters())
    assert not model.part("roberta").training and model.part("htsat").training
    assert next(model.part("htsat").parameters()).grad is not None
    model.freeze(())
    assert all(part.requires_grad for part in model.parameters())


def test_sizes_go_through_a_file_and_refuse_what_cannot_be():
    assert from_plain(to_plain(CPU)) == CPU
    with pytest.raises(InvalidValueError, match="another version"):
        from_plain({**to_plain(CPU), "depth": 3})
    with pytest.raises(InvalidValueError, match="too small for so many halvings"):
        _ = Sizes(samples=4800).branch_features
