"""What must be in place before runs start: text embeddings in the cache, so that no worker loads an encoder."""

from collections.abc import Iterable

from flag3d_ray.data.clips import ClipSpec, embedding_table
from flag3d_ray.home import Home
from flag3d_ray.run import Run
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
