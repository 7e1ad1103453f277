"""The key of a run in a home: its canonical JSON, the digests of what it reads, and its source."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from flag3d_ray.data.exclusions import load_exclusions
from flag3d_ray.data.manifest import load_manifest
from flag3d_ray.data.splits import split_digest
from flag3d_ray.data.text_encoders import encoder_digest
from flag3d_ray.home import Home
from flag3d_ray.run import Run, Weights


def run_digests(run: Run, home: Home) -> dict[str, str]:
    """Digests of the dataset, the split, the exclusion list, the encoder's weights, and of what it starts from: the key of
    that run, or the SHA-256 of that file.

    Raises:
        DataError: the dataset, the split or the exclusion list is not there.
        EncoderUnreachable: the encoder's weights are not there.
    """
    folder = home.dataset(run.data.dataset)
    digests = dict(_data_digests(folder, run.data.split))
    if run.data.exclude:
        digests["exclusions"] = load_exclusions(folder, run.data.exclude).digest
    if run.data.text is not None:
        digests["text_encoder"] = encoder_digest(run.data.text.encoder)
    if isinstance(run.init_from, Weights):
        digests["init_from"] = run.init_from.sha256
    elif run.init_from is not None:
        digests["init_from"] = run_key(run.init_from, home)
    return digests


def run_key(run: Run, home: Home) -> str:
    """The name of the run's folder in the store."""
    return run.key(run_digests(run, home))


def _data_digests(folder: Path, split: str) -> Mapping[str, str]:
    read = (folder / "manifest.json", folder / "splits" / f"{split}.json")
    changed = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in read)
    return _read_digests(folder, split, changed)


@lru_cache(maxsize=64)
def _read_digests(folder: Path, split: str, _changed: tuple[int, ...]) -> Mapping[str, str]:
    return {"dataset": load_manifest(folder).digest, "split": split_digest(folder, split)}
