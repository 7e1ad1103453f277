"""Confidence intervals that respect how clips come: crops of a sequence, sequences of an action, several seeds."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped


@dataclass(frozen=True)
class Interval:
    """A mean over clips with its bootstrap percentile interval.

    `flags` names the levels with a single unit ("one action", "one sequence", "one seed"). They cannot be resampled,
    so the interval leaves their spread out and says nothing about other actions, sequences or seeds. It is never NaN.
    """

    mean: float
    low: float
    high: float
    flags: tuple[str, ...] = ()


def cluster_bootstrap(
    values: Shaped[np.ndarray, "*S N"],
    actions_N: Shaped[np.ndarray, " N"],
    sequences_N: Shaped[np.ndarray, " N"],
    n: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean over clips: resamples actions, then sequences within each drawn action, then seeds.

    Seeds are crossed with clips, not nested in them: one trained model judges every clip, so a draw takes the same
    seeds for all clips. With S seeds a clip's value is the mean over the drawn ones. For the difference of two
    methods pass the differences clip by clip: they are paired then, and the interval is that of the difference.

    With few actions a percentile interval is too narrow: with ten, as many as the paper tests on, nominal 95 %
    intervals covered the truth in 90.5 % of 600 simulated data sets.

    Args:
        values: one number per clip (a relative error, a hit), [N] or [S, N] with a row per seed. Clips that are NaN for
            any seed (dropped by `mae`) are left out.
        actions_N: the action of each clip, any sortable labels.
        sequences_N: the base sequence of each clip; crops of one sequence are never separated.
        n: number of draws.
        level: coverage of the interval, in (0, 1).
        seed: of the draws; equal arguments give equal intervals.

    Raises:
        ValueError: no clip is left, lengths differ, or `n` or `level` is out of range.
    """
    values_SN = np.atleast_2d(np.asarray(values, np.float64))
    if not (values_SN.shape[1] == len(actions_N) == len(sequences_N)) or n < 1 or not 0 < level < 1:
        raise ValueError("values, actions and sequences must be equal in length, n positive and level between 0 and 1")
    kept_N = ~np.isnan(values_SN).any(axis=0)
    if not kept_N.any() or not len(values_SN):
        raise ValueError("no clip has a value for every seed")
    values_SN = values_SN[:, kept_N]
    action_Q, sequence_N = _nested(np.asarray(actions_N)[kept_N], np.asarray(sequences_N)[kept_N])
    rng = np.random.default_rng(seed)
    weights_DQ = _draw_sequences(action_Q, n, rng)
    seeds = len(values_SN)
    weights_DS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=n) / seeds
    # Every clip of a sequence has its sequence's weight, so sums and sizes per sequence are all that a draw needs.
    sums_SQ = np.stack([np.bincount(sequence_N, weights=values_N, minlength=len(action_Q)) for values_N in values_SN])
    size_Q = np.bincount(sequence_N, minlength=len(action_Q))
    draws_D = np.einsum("ds,sq,dq->d", weights_DS, sums_SQ, weights_DQ, optimize=True) / (weights_DQ @ size_Q)
    low, high = np.quantile(draws_D, [(1 - level) / 2, (1 + level) / 2])
    single = {"action": action_Q.max() == 0, "sequence": len(action_Q) == 1, "seed": seeds == 1}
    return Interval(
        mean=float(values_SN.mean()),
        low=float(low),
        high=float(high),
        flags=tuple(f"one {name}" for name, alone in single.items() if alone),
    )


def _nested(
    actions_N: Shaped[np.ndarray, " N"], sequences_N: Shaped[np.ndarray, " N"]
) -> tuple[Int[np.ndarray, " Q"], Int[np.ndarray, " N"]]:
    """The action of each sequence and the sequence of each clip as indices; a label may recur in another action."""
    action_N = np.unique(actions_N, return_inverse=True)[1].reshape(-1)
    label_N = np.unique(sequences_N, return_inverse=True)[1].reshape(-1)
    pairs, sequence_N = np.unique(action_N * (label_N.max() + 1) + label_N, return_inverse=True)
    return pairs // (label_N.max() + 1), sequence_N.reshape(-1)


def _draw_sequences(action_Q: Int[np.ndarray, " Q"], n: int, rng: np.random.Generator) -> Float[np.ndarray, "D Q"]:
    """How often each draw takes each sequence. Taking an action t times, with q sequences drawn anew each time, is one
    multinomial of t q."""
    actions = int(action_Q.max()) + 1
    times_DA = rng.multinomial(actions, np.full(actions, 1 / actions), size=n)
    weights_DQ = np.zeros((n, len(action_Q)))
    for action in range(actions):
        members = np.flatnonzero(action_Q == action)
        share = np.full(len(members), 1 / len(members))
        weights_DQ[:, members] = rng.multinomial(times_DA[:, action] * len(members), share)
    return weights_DQ
