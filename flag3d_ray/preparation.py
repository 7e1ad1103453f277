"""What must be in place before runs start, so that no worker has to look for it: text embeddings, and weights of files."""

from collections.abc import Iterable
from pathlib import Path

from flag3d_ray import checkpoints
from flag3d_ray.data.clips import ClipSpec, embedding_table
from flag3d_ray.data.manifest import file_sha256
from flag3d_ray.errors import RunError
from flag3d_ray.files import write_bytes
from flag3d_ray.home import Home
from flag3d_ray.run import Run, Weights
from flag3d_ray.training.checkpoint import load_tensors
from flag3d_ray.training.fit import clip_spec
from flag3d_ray.training.threads import set_threads


def prepare_texts(runs: Iterable[Run], home: Home, threads: int = 1) -> None:
    """Encode the captions of every dataset and encoder that the runs read; what the cache holds is not encoded again.

    Raises:
        EncoderUnreachable: an encoder's weights are not there.
    """
    set_threads(threads)  # fixed, so that embeddings too are the same on any number of cores
    wanted: dict[tuple, ClipSpec] = {}
    for run in runs:
        if run.data.text is not None:
            wanted[run.data.dataset, run.data.text] = clip_spec(run, home, "train")
    for spec in wanted.values():
        embedding_table(spec)


def keep_weights(file: Path, home: Home) -> Weights:
    """Copy a safetensors file into the home, under its SHA-256, for runs to start from.

    Raises:
        RunError: the file is missing or is not safetensors.
    """
    load_tensors(file)
    weights = Weights(sha256=file_sha256(file))
    kept = home.weights(weights.sha256)
    if not kept.exists():
        write_bytes(kept, file.read_bytes())
    return weights


def prepare_weights(runs: Iterable[Run], home: Home) -> None:
    """See that every file that the runs start from is in the home; the network that comes with the package is put there.

    Raises:
        RunError: a file is not there, or has changed since it was stored.
    """
    for weights in {run.init_from for run in runs if isinstance(run.init_from, Weights)}:
        kept, packaged = home.weights(weights.sha256), checkpoints.counter()
        if not kept.exists() and packaged is not None and file_sha256(packaged / checkpoints.MODEL) == weights.sha256:
            keep_weights(packaged / checkpoints.MODEL, home)
        if not kept.exists() or file_sha256(kept) != weights.sha256:
            rule = "has changed since it was stored" if kept.exists() else "no such file of weights in this home"
            remedy = "name the file again with `flag3d train METHOD --init-from FILE`"
            raise RunError(where=str(kept), rule=rule, remedy=remedy)
