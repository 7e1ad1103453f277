"""Frozen text encoders behind one interface: BERT, CLIP, MiniLM and a lexical one without weights.

Every text is encoded by itself, never in a padded batch: its embedding then does not depend on its neighbours, so that
a cached embedding equals a fresh one. torch and transformers are imported when a model is loaded, not before.
"""

import hashlib
import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from flag3d_ray.data import text_weights
from flag3d_ray.data.text_weights import BERT, CLIP, MINILM, Origin
from flag3d_ray.errors import DataError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Embedding:
    """One text: `pooled_D`, the sentence, and `tokens_LD`, its tokens in order, special tokens included; L >= 1."""

    pooled_D: Float32[np.ndarray, " D"]
    tokens_LD: Float32[np.ndarray, "L D"]


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into embeddings of one width; frozen, deterministic, of stated origin."""

    @property
    def name(self) -> str: ...

    @property
    def width(self) -> int:
        """D of every embedding; known without loading the model."""
        ...

    @property
    def weights_digest(self) -> str:
        """Hexadecimal SHA-256 of whatever decides the embeddings; known without loading the model."""
        ...

    def encode(self, texts: Sequence[str]) -> list[Embedding]:
        """One embedding per text, in order."""
        ...


@dataclass(frozen=True)
class LexicalEncoder:
    """Hashed words, pairs of neighbouring words and character n-grams; no weights, no download.

    A token is one word: the signed sum of its hashed features, L2-normalised. The pooled vector is the L2-normalised
    mean of the tokens. It knows spelling and no meaning: 'push-ups' is near 'kneeling push-ups', 'squat' is not near
    'knee bend'.
    """

    name: str = "lexical"
    width: int = 256
    ngrams: tuple[int, ...] = (3, 4, 5)

    @property
    def weights_digest(self) -> str:
        return hashlib.sha256(f"lexical/1 width={self.width} ngrams={self.ngrams}".encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> list[Embedding]:
        return [self._embedding(text) for text in texts]

    def _embedding(self, text: str) -> Embedding:
        words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())
        tokens_LD = np.zeros((max(len(words), 1), self.width), dtype=np.float64)
        for token_D, word, before in zip(tokens_LD, words, ["", *words], strict=False):
            for feature in self._features(word, before):
                bucket, sign = self._hashed(feature)
                token_D[bucket] += sign
        tokens_LD = _unit(tokens_LD)
        return Embedding(
            _unit(tokens_LD.mean(axis=0)).astype(np.float32),
            tokens_LD.astype(np.float32),
        )

    def _features(self, word: str, before: str) -> Iterator[str]:
        yield f"word {word}"
        if before:
            yield f"pair {before} {word}"
        bounded = f"<{word}>"
        for n in self.ngrams:
            yield from (f"chars {bounded[i : i + n]}" for i in range(len(bounded) - n + 1))

    def _hashed(self, feature: str) -> tuple[int, float]:
        # Python's own hash() is salted per process.
        number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(), "little")
        return (number >> 1) % self.width, 1.0 if number & 1 else -1.0


@dataclass(frozen=True)
class BertEncoder:
    """A model of the BERT family: tokens are its last layer, pooled is their mean, [CLS] and [SEP] included.

    With one text at a time nothing is padded, so the plain mean is the masked mean. The mean, rather than [CLS] or the
    pooler, because the pooler was trained for next-sentence prediction; the paper does not say which it used.
    """

    name: str
    folder: Path

    @property
    def width(self) -> int:
        return int(_config(self.folder)["hidden_size"])

    @property
    def weights_digest(self) -> str:
        return text_weights.weights_digest(self.folder, recipe="last layer, mean over tokens/1")

    def encode(self, texts: Sequence[str]) -> list[Embedding]:
        model, tokenizer = self._loaded
        limit = int(model.config.max_position_embeddings)
        return [self._embedding(model, _tokenised(tokenizer, text, limit)) for text in texts]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel

        return _load(AutoModel, self.folder)

    @staticmethod
    def _embedding(model: Any, inputs: Any) -> Embedding:
        import torch

        with torch.inference_mode():
            tokens_LD = model(**inputs).last_hidden_state[0]
        return Embedding(tokens_LD.mean(dim=0).numpy(), tokens_LD.numpy())


@dataclass(frozen=True)
class ClipEncoder:
    """CLIP's text tower: tokens are its last layer after the final norm and the text projection.

    Pooled is `text_embeds`, the projected end-of-text token: the vector CLIP was trained to compare with images, and
    one of the rows of `tokens_LD`. It is not normalised.
    """

    name: str
    folder: Path

    @property
    def width(self) -> int:
        config = _config(self.folder)
        return int(config.get("text_config", config).get("projection_dim") or config["projection_dim"])

    @property
    def weights_digest(self) -> str:
        return text_weights.weights_digest(self.folder, recipe="projected tokens, text_embeds/1")

    def encode(self, texts: Sequence[str]) -> list[Embedding]:
        model, tokenizer = self._loaded
        limit = int(model.config.max_position_embeddings)
        return [self._embedding(model, _tokenised(tokenizer, text, limit)) for text in texts]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import CLIPTextModelWithProjection

        return _load(CLIPTextModelWithProjection, self.folder)

    @staticmethod
    def _embedding(model: Any, inputs: Any) -> Embedding:
        import torch

        with torch.inference_mode():
            output = model(**inputs)
            tokens_LD = model.text_projection(output.last_hidden_state[0])
        return Embedding(output.text_embeds[0].numpy(), tokens_LD.numpy())


ENCODERS = ("bert", "clip", "minilm", "lexical")
_ORIGINS: dict[str, Origin] = {origin.name: origin for origin in (BERT, CLIP, MINILM)}


def encoder(name: str) -> TextEncoder:
    """The encoder of that name, its weights found on the disk or downloaded, nothing loaded into memory yet.

    Raises:
        EncoderUnreachable: its weights are nowhere to be had; the message names the remedies.
        DataError: no encoder has that name, or the folder named by FLAG3D_BERT or FLAG3D_CLIP is not usable.
    """
    if name == "lexical":
        return LexicalEncoder()
    folder = text_weights.fetched(_origin(name))
    return ClipEncoder(name, folder) if name == "clip" else BertEncoder(name, folder)


def is_reachable(name: str) -> bool:
    """Whether the weights lie on this disk; opens no connection, loads nothing, raises DataError as `encoder` does."""
    return name == "lexical" or text_weights.on_disk(_origin(name)) is not None


def encoder_digest(name: str) -> str:
    """`encoder(name).weights_digest`, part of a run's identity; milliseconds once the weights have been hashed."""
    return encoder(name).weights_digest


def _origin(name: str) -> Origin:
    if name not in _ORIGINS:
        raise DataError(
            where=f"text encoder {name!r}",
            rule="unknown encoder",
            remedy=f"choose one of: {', '.join(ENCODERS)}",
        )
    return _ORIGINS[name]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / text_weights.CONFIG).read_text())
    except ValueError as error:
        raise DataError(
            where=str(folder / text_weights.CONFIG),
            rule=f"not JSON ({error})",
            remedy="copy the encoder's folder again",
        ) from None


def _load(kind: Any, folder: Path) -> tuple[Any, Any]:
    """Model (float32, evaluation mode, no gradients) and tokenizer from safetensors and JSON in a local folder."""
    import torch
    from transformers import AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    # Heads that a checkpoint lacks (BERT's pooler, unused here) are initialised from torch's global generator.
    with _quiet_transformers(), torch.random.fork_rng(devices=[]):
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        model = kind.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **local)
    return model.eval().requires_grad_(False), tokenizer


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar, no report of unused checkpoint keys; the process' settings are put back afterwards."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = (
        transformers_logging.get_verbosity(),
        transformers_logging.is_progress_bar_enabled(),
    )
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def _tokenised(tokenizer: Any, text: str, limit: int) -> Any:
    inputs = tokenizer(text, truncation=True, max_length=limit, padding=False, return_tensors="pt")
    length = len(tokenizer(text, truncation=False, padding=False, verbose=False)["input_ids"])
    if length > limit:
        _log.warning("text of %d tokens cut to the encoder's %d: %.60s...", length, limit, text)
    return inputs
