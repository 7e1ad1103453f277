"""The texts of a run as arrays: each distinct text is encoded once, kept in a file, and looked up for every batch."""

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Bool, Float32
from safetensors import SafetensorError

from flag3d_ray.data.text_encoders import (
    ENCODERS,
    Embedding,
    TextEncoder,
    encoder,
    encoder_digest,
    is_reachable,
)
from flag3d_ray.errors import DataError
from flag3d_ray.files import write_bytes, write_json

__all__ = [
    "ENCODERS",
    "Embedding",
    "EmbeddingTable",
    "TextEncoder",
    "encoder",
    "encoder_digest",
    "is_reachable",
]

_REPORT_EVERY_SECONDS = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """The embeddings of a set of texts. Made by `build`; picklable, so that it travels to workers as it is."""

    encoder_name: str
    weights_digest: str
    width: int
    embeddings: dict[str, Embedding]

    @classmethod
    def build(cls, texts: Iterable[str], encoder: TextEncoder, folder: Path) -> "EmbeddingTable":
        """The table for the distinct `texts`; what `folder` already holds is read, only the rest is encoded.

        `folder` gets one subfolder per encoder and weights digest with one file per text, named by the text's SHA-256.
        Several processes may build in one folder at a time. With nothing left to encode no model is loaded.
        """
        digest, width = encoder.weights_digest, encoder.width
        store = folder / f"{encoder.name}-{digest[:16]}"
        found = {text: _read(_path(store, text), width) for text in dict.fromkeys(texts)}
        missing = [text for text, embedding in found.items() if embedding is None]
        if missing:
            about = {"encoder": encoder.name, "weights_digest": digest, "width": width}
            write_json(store / "encoder.json", about)
        last_report = time.monotonic()
        for done, text in enumerate(missing, start=1):
            found[text] = embedding = encoder.encode([text])[0]
            _write(_path(store, text), text, embedding)
            if done == len(missing) or time.monotonic() - last_report > _REPORT_EVERY_SECONDS:
                last_report = time.monotonic()
                _log.info(
                    "encoded %d of %d new texts with %s",
                    done,
                    len(missing),
                    encoder.name,
                )
        embeddings = {text: embedding for text, embedding in found.items() if embedding is not None}
        return cls(encoder.name, digest, width, embeddings)

    def lookup(
        self, texts: Sequence[str], tokens: bool
    ) -> tuple[Float32[np.ndarray, "B L D"], Bool[np.ndarray, "B L"]]:
        """Embeddings of `texts` and which tokens are real.

        Without `tokens` L = 1, the pooled sentence. With `tokens` L is that of the longest text of the table, whatever
        the batch (compiled models then see one shape); padding is zero and False.

        Raises:
            DataError: a text was not among those the table was built for.
        """
        rows = np.array([self._row(text) for text in texts], dtype=np.intp)
        if not tokens:
            return self._pooled_ND[rows, None], np.ones((len(rows), 1), dtype=bool)
        length = self._tokens_NLD.shape[1]
        return self._tokens_NLD[rows], np.arange(length) < self._lengths_N[rows, None]

    def _row(self, text: str) -> int:
        if text not in self._rows:
            raise DataError(
                where=f"text {text[:60]!r}",
                rule=f"not in the table of {len(self._rows)} texts",
                remedy="build the table from the texts of every sample that is going to be looked up",
            )
        return self._rows[text]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self.embeddings)}

    @cached_property
    def _pooled_ND(self) -> np.ndarray:
        pooled = [embedding.pooled_D for embedding in self.embeddings.values()]
        return np.stack(pooled) if pooled else np.zeros((0, self.width), dtype=np.float32)

    @cached_property
    def _lengths_N(self) -> np.ndarray:
        return np.array(
            [len(embedding.tokens_LD) for embedding in self.embeddings.values()],
            dtype=np.intp,
        )

    @cached_property
    def _tokens_NLD(self) -> np.ndarray:
        longest = int(self._lengths_N.max(initial=1))
        tokens_NLD = np.zeros((len(self.embeddings), longest, self.width), dtype=np.float32)
        for padded_LD, embedding in zip(tokens_NLD, self.embeddings.values(), strict=True):
            padded_LD[: len(embedding.tokens_LD)] = embedding.tokens_LD
        return tokens_NLD


def _path(store: Path, text: str) -> Path:
    return store / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def _write(path: Path, text: str, embedding: Embedding) -> None:
    arrays = {
        "pooled_D": np.ascontiguousarray(embedding.pooled_D),
        "tokens_LD": np.ascontiguousarray(embedding.tokens_LD),
    }
    write_bytes(path, safetensors.numpy.save(arrays, metadata={"text": text}))


def _read(path: Path, width: int) -> Embedding | None:
    """The embedding in `path`; None where there is none or a damaged one, which is then encoded again."""
    try:
        arrays = safetensors.numpy.load(path.read_bytes())
        embedding = Embedding(arrays["pooled_D"], arrays["tokens_LD"])
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, ValueError) as error:
        _log.warning("%s is damaged (%s) and is made again", path, error)
        return None
    sound = embedding.pooled_D.shape == (width,) and embedding.tokens_LD.shape[1:] == (width,)
    if not sound or not np.isfinite(embedding.tokens_LD).all():
        _log.warning("%s is damaged (shape or non-finite values) and is made again", path)
        return None
    return embedding
