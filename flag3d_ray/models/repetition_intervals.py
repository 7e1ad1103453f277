"""First and last frames of the repetitions of a clip, from the repetition that each of its frames belongs to."""

import numpy as np
from jaxtyping import Int, Integer

from flag3d_ray.sample import Batch


def repetition_intervals(batch: Batch) -> list[Int[np.ndarray, "_ 2"]]:
    """Per clip, the first and the exclusive last frame of each repetition, in order.

    A clip has as many as `count_B` says. One that lost all its frames in resampling (62 repetitions in 128 frames) is
    empty and lies where the next one begins, or where the clip's last one ends.

    Raises:
        ValueError: the batch has no repetitions or no counts.
    """
    if batch.reps_BT is None or batch.count_B is None:
        raise ValueError("the loss needs a batch with reps_BT and count_B")
    counts = batch.count_B.round().long().tolist()
    return [clip_intervals(reps_T, count) for reps_T, count in zip(batch.reps_BT.cpu().numpy(), counts, strict=True)]


def clip_intervals(reps_T: Integer[np.ndarray, " T"], count: int) -> Int[np.ndarray, "R 2"]:
    """The intervals of one clip: R = `count`, or more where a frame belongs to a repetition beyond it.

    Args:
        reps_T: index of the repetition that a frame belongs to, -1 where none.
        count: repetitions of the clip.
    """
    frames = np.flatnonzero(reps_T >= 0)
    number = max(count, int(reps_T.max(initial=-1)) + 1)
    first_R = np.full(number, len(reps_T))
    end_R = np.zeros(number, dtype=np.int64)
    np.minimum.at(first_R, reps_T[frames], frames)
    np.maximum.at(end_R, reps_T[frames], frames + 1)
    lost_R = end_R == 0
    following_R = np.minimum(np.minimum.accumulate(first_R[::-1])[::-1], end_R.max(initial=0))
    first_R = np.where(lost_R, following_R, first_R)
    return np.stack([first_R, np.where(lost_R, first_R, end_R)], axis=1)
