import json
import os
import shutil
import sys
import time

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    Qwen2Tokenizer,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from core import audio, manifest
from core.context import Context
from core.errors import InvalidValueError
from tasks.describe import stage
from tasks.describe.spec import Request, Settings
from tests.donors import finish, heir

RATE = 16000


@pytest.fixture
def gold(tmp_path):
    """Five train clips of different length; returns the data root."""
    rows = []
    for number in range(5):
        path = f"stages/prepare/aa/{number}.wav"
        audio.write(tmp_path / path, (0.3 * np.sin(np.arange(RATE + 4000 * number) * 0.03 * (number + 1))).astype(np.float32), RATE)
        rows.append(manifest.row(f"{number:016x}", path, "gold", label="rain", split="train", parameters={"kept": number}))
    manifest.write(tmp_path / "stages/stratify/aa", manifest.frame(rows))
    return tmp_path


def describe(root, name="out", shards=2, **settings):
    """Return (result, manifest)."""
    output = root / name
    output.mkdir(exist_ok=True)
    request, context = Request("stages/stratify/aa", Settings(**settings), shards), Context(output, root, emit=lambda kind, values: None)
    (output / "shards").mkdir(exist_ok=True)
    pending = [shard for shard in range(shards) if not context.shard_is_done(shard)]
    stage.run_shards(request, context, pending)
    return stage.run(request, context), manifest.read(output)


PROGRAM = """
import json, os, sys, time
clips = [json.loads(line) for line in open(sys.argv[1])]
print("hello from the captioner", file=sys.stderr)
answers = [{"clip_id": c["clip_id"], "caption": f"water on tin {os.path.basename(c['path'])} <b>of {len(clips)}</b>"} for c in clips]
{extra}
with open(sys.argv[2], "w") as out:
    out.writelines(json.dumps(a) + chr(10) for a in answers)
"""


def program(root, extra=""):
    path = root / f"captioner{len(list(root.glob('captioner*')))}.py"
    path.write_text(PROGRAM.replace("{extra}", extra))
    return {"captioner": "command", "command": (sys.executable, str(path), "{input}", "{output}")}


def test_a_program_describes_in_batches_and_the_words_reach_the_manifest(gold):
    before = manifest.read(gold / "stages/stratify/aa")
    result, table = describe(gold, batch_size=2, **program(gold))
    assert result.clips == 5 and result.distinct == 5 and result.mean_words > 5
    for row, old in zip(table.itertuples(), before.itertuples(), strict=True):
        own = json.loads(row.parameters)
        assert row.caption == own["described"] and own["kept"] == json.loads(old.parameters)["kept"] and row.path == old.path
        assert row.caption.startswith(f"water on tin {row.path.rsplit('/', 1)[1]} of ") and "<" not in row.caption
    assert {text.rsplit(" ", 1)[1] for text in table["caption"]} <= {"1", "2"}


def test_batches_and_shards_change_nothing(gold):
    same = program(gold, "[a.update(caption='rain ' + a['clip_id']) for a in answers]")
    first = describe(gold, "a", shards=1, batch_size=5, **same)[1]
    assert list(describe(gold, "b", shards=3, batch_size=1, **same)[1]["parameters"]) == list(first["parameters"])


def test_clips_that_were_described_before_are_not_listened_to_again(gold):
    same = program(gold, "[a.update(caption='rain ' + a['clip_id']) for a in answers]")
    table = manifest.read(gold / "stages/stratify/aa").assign(sha256=[f"sound {number}" for number in range(5)])
    outputs = {}
    for name, donors in (("old", []), ("new", ["old"]), ("fresh", [])):
        if name == "new":
            table.loc[3, "sha256"] = "another sound"
        manifest.write(gold / f"stages/stratify/over-{name}", table)
        request = Request(f"stages/stratify/over-{name}", Settings(**same), 2)
        context, counts = heir(gold, "describe", name, [outputs[donor][1] for donor in donors])
        stage.run_shards(request, context, [0, 1])
        stage.run(request, context)
        outputs[name] = (manifest.read(context.output), finish(context.output, request), counts)
    assert outputs["new"][2] == {"clips_made": 1, "clips_reused": 4}
    assert manifest.digest(outputs["new"][0]) == manifest.digest(outputs["fresh"][0])


FAULTS = {
    "exit code 3": "sys.exit(3)",
    "without an answer": "answers = answers[1:]",
    "not given": "answers.append({'clip_id': 'stranger', 'caption': 'x'})",
    "answered twice": "answers.append(answers[0])",
    "empty captions": "answers[0]['caption'] = ' \\u200b '",
    "said nothing": "answers[0]['caption'] = '...'",
    "two texts": "answers[0]['caption'] = 5",
    "no answer": "answers[0] = ['x']",
    "wrote no answers": "sys.exit(0)",
}


@pytest.mark.parametrize("words", FAULTS)
def test_faults_of_a_program_are_named_with_its_last_words(gold, words):
    with pytest.raises(InvalidValueError, match=words) as caught:
        describe(gold, batch_size=5, shards=1, **program(gold, FAULTS[words]))
    if words not in ("said nothing",):
        assert "hello from the captioner" in str(caught.value)
    if words in ("without an answer", "empty captions", "answered twice"):
        assert f"{0:016x}" in str(caught.value)


def test_a_program_that_hangs_is_ended_and_one_that_is_missing_is_named(gold):
    started = time.monotonic()
    with pytest.raises(InvalidValueError, match="too long"):
        describe(gold, "a", command_time_limit_s=1.0, **program(gold, "time.sleep(60)"))
    assert time.monotonic() - started < 10
    with pytest.raises(InvalidValueError, match="cannot be started"):
        describe(gold, "b", captioner="command", command=("no-such-captioner", "{input}", "{output}"))


def test_no_shell_reads_the_command_and_the_project_is_not_on_its_path(gold, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/project")
    settings = program(gold, "assert sys.argv[3] == '; touch $HOME' and 'PYTHONPATH' not in os.environ")
    describe(gold, captioner="command", command=(*settings["command"], "; touch $HOME"))


def test_secrets_of_the_environment_are_not_shown(gold, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value")
    with pytest.raises(InvalidValueError, match="secret removed") as caught:
        describe(gold, **program(gold, "print(os.environ['OPENAI_API_KEY']); sys.exit(1)"))
    assert "sk-very" not in str(caught.value)


def test_an_interrupted_stage_goes_on_at_the_first_unrecorded_shard(gold):
    settings = program(gold, "open(os.environ['SEEN'], 'a').write(chr(10).join(c['clip_id'] for c in clips) + chr(10))")
    os.environ["SEEN"] = str(gold / "seen")
    output = gold / "out"
    (output / "shards").mkdir(parents=True)
    request = Request("stages/stratify/aa", Settings(**settings), 5)
    stage.run_shards(request, Context(output, gold, emit=lambda kind, values: None), [0, 1])
    result, table = describe(gold, shards=5, **settings)
    assert result.clips == len(table) == 5 and sorted((gold / "seen").read_text().split()) == sorted(table["clip_id"])


def test_settings_and_splits_are_checked(gold):
    with pytest.raises(InvalidValueError, match=r"describe\.command"):
        Settings(captioner="command", command=("x", "{input}"))
    for both in ({}, {"pretrained": "a", "hub_name": "b"}):
        with pytest.raises(InvalidValueError, match="name one model"):
            Settings(**both)
    table = manifest.read(gold / "stages/stratify/aa")
    table.loc[0, "split"] = "val"
    manifest.write(gold / "stages/stratify/aa", table)
    with pytest.raises(InvalidValueError, match="not train clips"):
        describe(gold, **program(gold))


def test_no_clips_give_an_empty_manifest(gold):
    manifest.write(gold / "stages/stratify/aa", manifest.frame([]))
    result, table = describe(gold, **program(gold))
    assert result.clips == 0 and len(table) == 0


CORPUS = ["water drips on a tin roof while the wind blows", "a dog barks in a yard", "an engine idles and a bell rings far away"] * 20


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory):
    """A byte-level BPE, as vocab.json and merges.txt."""
    folder = tmp_path_factory.mktemp("bpe")
    made = ByteLevelBPETokenizer()
    made.train_from_iterator(CORPUS, vocab_size=330, min_frequency=1)
    made.save_model(str(folder))
    return folder


@pytest.fixture(scope="session")
def whisper(vocabulary, tmp_path_factory):
    """A miniature Whisper captioning checkpoint in the published format."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("whisper")
    tokenizer = WhisperTokenizer(str(vocabulary / "vocab.json"), str(vocabulary / "merges.txt"))
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]})
    eos, start = tokenizer.convert_tokens_to_ids("<|endoftext|>"), tokenizer.convert_tokens_to_ids("<|startoftranscript|>")
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=80, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_source_positions=1500, max_target_positions=64,
        pad_token_id=eos, bos_token_id=eos, eos_token_id=eos, decoder_start_token_id=start,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.decoder.embed_tokens.weight, std=1.0)  # or every word would be alike
    model.save_pretrained(folder, safe_serialization=True)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
    return folder


def test_whisper_describes_from_a_folder_in_batches_of_any_size(gold, whisper):
    settings = {"pretrained": str(whisper), "max_new_tokens": 12, "prompt": "a dog"}
    result, table = describe(gold, "a", batch_size=4, **settings)
    assert result.clips == 5 and all(table["caption"]) and not any("<|" in text for text in table["caption"])
    assert list(describe(gold, "b", shards=1, batch_size=1, **settings)[1]["caption"]) == list(table["caption"])
    assert set(json.loads(table["parameters"][0])) == {"kept", "described", "captioner"}


def test_whispers_caption_is_the_greedy_continuation_of_the_prompt(gold, whisper):
    from tasks.describe.model import load

    captioner = load(Settings(pretrained=str(whisper), prompt="a dog", max_new_tokens=6), "cpu")
    sound = audio.load_mono(gold / "stages/prepare/aa/0.wav", RATE)
    features = captioner.processor.feature_extractor(sound, sampling_rate=RATE, return_tensors="pt").input_features
    tokenizer = captioner.processor.tokenizer
    begin = list(tokenizer.prefix_tokens) + tokenizer("a dog", add_special_tokens=False).input_ids
    tokens = list(begin)
    with torch.no_grad():
        for _ in range(6):
            logits = captioner.model(input_features=features, decoder_input_ids=torch.tensor([tokens])).logits[0, -1]
            tokens.append(int(logits.argmax()))
            if tokens[-1] == captioner.model.config.eos_token_id:
                break
    from tasks.language_model.text import clean

    assert captioner.describe([sound]) == [clean(tokenizer.decode(tokens[len(begin) :], skip_special_tokens=True))]


def test_empty_tokenizers_are_refused(gold, whisper, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(whisper, bare)
    for path in bare.iterdir():
        if path.name.startswith(("tokenizer", "vocab", "merges", "special", "added", "normalizer")):
            path.unlink()
    with pytest.raises(InvalidValueError, match=r"describe\.pretrained"):
        describe(gold, pretrained=str(bare))


def test_tokenizers_must_fit_the_model():
    from tasks.describe.model import _check_tokenizer

    for known, expected in ((51865, 51865), (151_000, 156_032), (300, 300)):
        _check_tokenizer(known, expected, "x")
    for known, expected in ((5, 51865), (1000, 51865), (51866, 51865)):
        with pytest.raises(InvalidValueError, match="does not fit"):
            _check_tokenizer(known, expected, "x")


def test_pickled_weights_unknown_architectures_and_missing_names_are_refused(gold, whisper, tmp_path):
    pickled = tmp_path / "pickled"
    shutil.copytree(whisper, pickled)
    torch.save({}, pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(InvalidValueError, match="safetensors"):
        describe(gold, "a", pretrained=str(pickled))
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InvalidValueError, match=r"qwen2_audio.*whisper.*bert"):
        describe(gold, "b", pretrained=str(other))
    with pytest.raises(InvalidValueError, match="local cache"):
        describe(gold, "c", hub_name="nobody/no-such-captioner")


def test_qwen2_audio_describes_from_a_folder(gold, vocabulary, tmp_path):
    torch.manual_seed(0)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tokenizer = Qwen2Tokenizer(str(vocabulary / "vocab.json"), str(vocabulary / "merges.txt"))
    tokenizer.add_special_tokens({"extra_special_tokens": specials[1:]})
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            d_model=16, num_mel_bins=128, encoder_layers=1, encoder_attention_heads=2, encoder_ffn_dim=16, max_source_positions=1500
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=2, eos_token_id=token("<|endoftext|>"), pad_token_id=token("<|endoftext|>"), bos_token_id=None,
        ).to_dict(),
        audio_token_index=token("<|AUDIO|>"), audio_token_id=token("<|AUDIO|>"),
    )  # fmt: skip
    model = Qwen2AudioForConditionalGeneration(config)
    for weight in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
        torch.nn.init.normal_(weight, std=1.0)
    model.save_pretrained(tmp_path / "qwen", safe_serialization=True)
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=128), tokenizer).save_pretrained(tmp_path / "qwen")
    settings = {"pretrained": str(tmp_path / "qwen"), "max_new_tokens": 12}
    result, table = describe(gold, "a", shards=1, batch_size=3, **settings)
    assert result.clips == 5 and all(table["caption"])
    assert list(describe(gold, "b", shards=2, batch_size=1, **settings)[1]["caption"]) == list(table["caption"])
