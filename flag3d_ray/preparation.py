"""What must be in place before runs start, so that no worker has to look for it: text embeddings, and weights of files."""

from collections.abc import Iterable

from flag3d_ray.checkpoints import packaged_model
from flag3d_ray.data.clips import ClipSpec, embedding_table
from flag3d_ray.data.manifest import file_sha256
from flag3d_ray.errors import RunError
from flag3d_ray.files import local_copy, write_bytes
from flag3d_ray.home import Home
from flag3d_ray.run import Run, Weights
from flag3d_ray.storage import StorePath
from flag3d_ray.training.checkpoint import load_tensors
from flag3d_ray.training.fit import clip_spec


def prepare_texts(runs: Iterable[Run], home: Home) -> None:
    """Encode the captions of every dataset and encoder that the runs read; what the cache holds is not encoded again.

    Raises:
        EncoderUnreachable: an encoder's weights are not there.
    """
    wanted: dict[tuple, ClipSpec] = {}
    for run in runs:
        if run.data.text is not None:
            wanted[run.data.dataset, run.data.text] = clip_spec(run, home, "train")
    for spec in wanted.values():
        embedding_table(spec)
    if wanted:
        home.share(home.text)


def keep_weights(file: StorePath, home: Home) -> Weights:
    """Copy a safetensors file into the home, under its SHA-256, for runs to start from.

    Raises:
        RunError: the file is missing or is not safetensors.
    """
    load_tensors(file)
    with local_copy(file) as here:
        weights = Weights(sha256=file_sha256(here))
        kept = home.weights(weights.sha256)
        if not kept.exists():
            write_bytes(kept, here.read_bytes())
    home.share(kept.parent)
    return weights


def prepare_weights(runs: Iterable[Run], home: Home) -> None:
    """See that every file that the runs start from is in the home; those of the package are put there.

    Raises:
        RunError: a file is not there, or has changed since it was stored.
    """
    for weights in {run.init_from for run in runs if isinstance(run.init_from, Weights)}:
        kept = home.weights(weights.sha256)
        if not kept.exists() and (model := packaged_model(weights.sha256)) is not None:
            keep_weights(model, home)
        if not kept.exists() or file_sha256(kept) != weights.sha256:
            rule = "has changed since it was stored" if kept.exists() else "no such file of weights in this home"
            remedy = "name the file again with `flag3d train METHOD --init-from FILE`"
            raise RunError(where=str(kept), rule=rule, remedy=remedy)
