import json

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    ClapAudioConfig,
    ClapAudioModelWithProjection,
    ClapConfig,
    ClapModel,
    ClapTextConfig,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    RobertaTokenizerFast,
)

from core.errors import InvalidValueError
from tasks.spatial_model import storage
from tasks.spatial_model.network import SpatialTextModel
from tasks.spatial_model.sizes import Sizes
from tasks.spatial_model.text import WordTokenizer
from tasks.train_spatial import recipe
from tasks.train_spatial.spec import Request, Settings
from tests.tasks.train_spatial.scenery import CLIPS, ROOMS, scenery, train

TOWER = {
    "spec_size": 128,
    "patch_embeds_hidden_size": 16,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "enable_fusion": True,
    "aff_block_r": 4,
}
TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 130,
        "type_vocab_size": 1}  # fmt: skip


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Miniature checkpoints in the hub's formats."""
    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(5)
    text = ClapTextConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=20)
    ClapModel(ClapConfig(audio_config=ClapAudioConfig(**TOWER), text_config=text)).save_pretrained(root / "clap")
    ClapAudioModelWithProjection(ClapAudioConfig(**TOWER)).save_pretrained(root / "tower")
    alphabet = {character: number + 4 for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, **alphabet, "<mask>": len(alphabet) + 4}
    backend = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel()
    for name, kind in (("roberta", RobertaModel), ("masked", RobertaForMaskedLM)):
        kind(RobertaConfig(vocab_size=len(vocabulary), **TEXT)).save_pretrained(root / name)
        RobertaTokenizerFast(tokenizer_object=backend).save_pretrained(root / name)
    return root


def model_for(hub, text="roberta", **settings):
    shape = recipe.sizes(Settings(duration_s=0.9, **settings))
    shape = storage.roberta_sizes(storage.htsat_sizes(shape, hub / "clap"), hub / text)
    return SpatialTextModel(shape, storage.PretrainedTokenizer(hub / text, shape.text_tokens))


def test_a_tower_comes_out_of_either_kind_of_clap_checkpoint(hub):
    for name in ("clap", "tower"):
        model = model_for(hub)
        state = storage.read_state(hub / name)
        storage.fit_htsat(model, hub / name)
        found = model.audio_encoder.htsat.model.state_dict()
        assert found and all(torch.equal(part, state["audio_model." + key]) for key, part in found.items())
        assert storage.htsat_sizes(Sizes(), hub / name).htsat["patch_embeds_hidden_size"] == 16


def test_roberta_comes_with_its_pooler_or_without(hub):
    model = model_for(hub)
    storage.fit_roberta(model, hub / "roberta")
    state = storage.read_state(hub / "roberta")
    assert all(torch.equal(part, state[key]) for key, part in model.text_encoder.roberta.state_dict().items())
    model = model_for(hub, "masked")
    before = model.text_encoder.roberta.pooler.dense.weight.clone()
    storage.fit_roberta(model, hub / "masked")
    assert torch.equal(model.text_encoder.roberta.pooler.dense.weight, before)
    key = "embeddings.word_embeddings.weight"
    assert torch.equal(model.text_encoder.roberta.state_dict()[key], storage.read_state(hub / "masked")["roberta." + key])


def test_a_whole_checkpoint_loads_strictly_by_name(hub, tmp_path):
    model, other = model_for(hub, compat=True), model_for(hub, compat=True)
    state = {"module." + name: part for name, part in other.state_dict().items() if not name.endswith("relative_position_index")}
    state["module.text_encoder.roberta.embeddings.position_ids"] = torch.arange(130)[None]
    torch.save({"model_state_dict": state, "epoch": 20}, tmp_path / "disse.pt")
    storage.fit_whole(model, tmp_path / "disse.pt")
    assert all(torch.equal(part, other.state_dict()[name]) for name, part in model.state_dict().items())
    with pytest.raises(InvalidValueError, match=r"direction_head.fc2.weight.*3, 64"):
        storage.fit_whole(model_for(hub), tmp_path / "disse.pt")
    del state["module.area_head.fc1.bias"]
    state["module.volume_head"] = torch.zeros(1)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(InvalidValueError, match=r"missing.*area_head.fc1.bias.*unknown.*volume_head"):
        storage.fit_whole(model, tmp_path / "odd.pt")


def test_a_branch_loads_alone_and_nothing_else_does(hub, tmp_path):
    model = model_for(hub)
    save_file({name: part + 1 for name, part in model.part("spatial_branch").state_dict().items()}, tmp_path / "branch.safetensors")
    before = model.part("spatial_branch").mlp[4].bias.clone()
    storage.fit_branch(model, tmp_path / "branch.safetensors")
    assert torch.allclose(model.part("spatial_branch").mlp[4].bias, before + 1)
    with pytest.raises(InvalidValueError, match="do not fit"):
        storage.fit_branch(model, hub / "roberta" / "model.safetensors")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_checkpoint_with_code_is_refused(tmp_path, capsys):
    torch.save({"model": {}, "config": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InvalidValueError, match="no plain checkpoint"):
        storage.read_state(tmp_path / "evil.pt")
    assert "executed" not in capsys.readouterr().out
    with pytest.raises(InvalidValueError, match="no weights there"):
        storage.read_state(tmp_path / "nothing.pt")


def test_a_model_goes_through_its_folder_with_the_same_bytes(tmp_path):
    shape = recipe.sizes(Settings(duration_s=0.9))
    model = SpatialTextModel(shape, WordTokenizer.of(["a dog"], shape.text_tokens)).eval()
    storage.save(tmp_path / "a", model, {"seed": 1})
    storage.save(tmp_path / "b", model, {"seed": 1})
    assert (tmp_path / "a/model.pt").read_bytes() == (tmp_path / "b/model.pt").read_bytes()
    found, config = storage.load(tmp_path / "a")
    assert config["seed"] == 1 and found.tokenizer.vocabulary == ["a", "dog"] and found.sizes == shape
    assert torch.equal(found.read_captions(["a dog"]).space, model.read_captions(["a dog"]).space)
    with pytest.raises(InvalidValueError, match="no trained model"):
        storage.load(tmp_path / "c")


def test_a_training_starts_from_checkpoints_and_keeps_their_tokenizer(hub, tmp_path):
    scenery(tmp_path)
    names = {name: str(hub / folder) for name, folder in (("htsat", "tower"), ("roberta", "roberta"))}
    small = {"batch_sources": 2, "batch_spaces": 2, "look_sources": 2, "look_spaces": 2}
    result, output = train(tmp_path, steps=1, freeze=("htsat", "roberta"), **small, **names)
    model, _ = storage.load(output)
    state = storage.read_state(hub / "tower")
    for name, part in model.audio_encoder.htsat.model.state_dict().items():
        assert torch.equal(part, state["audio_model." + name]), name
    assert (output / "tokenizer/tokenizer.json").is_file() and model.sizes.htsat["depths"] == [1, 1] and result.steps == 1
    state = {name: part + 0.5 if name == "logit_scale" else part for name, part in model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "released.pt")
    result, again = train(tmp_path, "again", train=False, checkpoint=str(tmp_path / "released.pt"), **names)
    assert result.steps == 0 and float(storage.load(again)[0].logit_scale) == pytest.approx(float(model.logit_scale) + 0.5)
    assert json.loads((again / "training.json").read_text())["steps"] == 0


def test_a_released_checkpoint_needs_its_tokenizer():
    with pytest.raises(InvalidValueError, match="tokenizer is missing"):
        Request(CLIPS, ROOMS, checkpoint="disse.pt")
