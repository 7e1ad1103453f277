"""From a skeleton sequence to the signals that the methods without learning analyse. Numpy only."""

import numpy as np
from jaxtyping import Float

from flag3d_ray.skeleton import Layout

Motion = Float[np.ndarray, "T V C"]
Signals = Float[np.ndarray, "T K"]

# A coordinate that moves less than this (in spine lengths, about 1 cm) is sensor noise: scaled to unit variance it
# would weigh as much as the moving limb.
STILL = 0.02


def spine_lengths(joints_TVC: Motion, skeleton: Layout) -> Motion:
    """The joints in units of the mean spine length: hips' middle to shoulders' middle, which every layout has.

    A sequence without extent (all joints in one point) is returned as it is.
    """
    hips_TC = joints_TVC[:, [skeleton.index("left_hip"), skeleton.index("right_hip")]].mean(axis=1)
    shoulders_TC = joints_TVC[:, [skeleton.index("left_shoulder"), skeleton.index("right_shoulder")]].mean(axis=1)
    spine = float(np.linalg.norm(shoulders_TC - hips_TC, axis=1).mean()) if len(joints_TVC) else 0.0
    return joints_TVC / spine if spine > 1e-6 else joints_TVC


def detrended(signals_TK: Signals) -> Signals:
    """Each column minus its least-squares line."""
    time_T = np.arange(len(signals_TK)) - (len(signals_TK) - 1) / 2.0
    centred_TK = signals_TK - signals_TK.mean(axis=0)
    return centred_TK - np.outer(time_T, time_T @ centred_TK) / max(time_T @ time_T, 1.0)


def standardised(signals_TK: Signals, still: float = STILL) -> Signals:
    """Each column with mean 0 and deviation 1; columns that deviate less than `still` are divided by `still`."""
    centred_TK = signals_TK - signals_TK.mean(axis=0)
    return centred_TK / np.maximum(centred_TK.std(axis=0), still)


def coordinates(joints_TVC: Motion) -> Signals:
    """The K = V C coordinates over time, detrended and standardised. Expects spine lengths and at least one frame."""
    return standardised(detrended(joints_TVC.reshape(len(joints_TVC), -1).astype(np.float64)))


def principal_components(signals_TK: Signals, components: int) -> Float[np.ndarray, "T D"]:
    """Scores of the sequence on its first D = `components` principal components; their signs are arbitrary."""
    left_TK, spread_K, _ = np.linalg.svd(signals_TK - signals_TK.mean(axis=0), full_matrices=False)
    scores_TK = (left_TK * spread_K)[:, :components]
    return np.pad(scores_TK, ((0, 0), (0, components - scores_TK.shape[1])))


def whole_count(count: float) -> float:
    """The nearest positive integer: a clip shows at least one repetition."""
    return max(1.0, float(np.rint(count)))
