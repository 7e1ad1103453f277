"""The paper's counting metrics and variants: pure functions on arrays, averaged over clips and never over batches.

Every metric key of the project is built here: `mae`, `mae_released`, `obo/0.4`, ..., `obo/avg`, and each of them with
`_rounded` appended. `docs/metrics.md` has one card per metric.
"""

import numpy as np
from jaxtyping import Bool, Float, Real

ALPHAS = (0.4, 0.6, 0.8, 1.0)
RELEASED_OFFSET = 0.1


def relative_error(
    count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"], offset: float = 0.0
) -> Float[np.ndarray, " B"]:
    """|c - c^| / (c + offset) per clip; NaN where the denominator is zero, which `mae` drops.

    Raises:
        ValueError: the arrays are empty or differ in length, a count is not finite, or a true count is negative.
    """
    count_B, truth_B = _checked(count_B, truth_B)
    denominator_B = truth_B + offset
    undefined_B = denominator_B == 0
    return np.where(undefined_B, np.nan, np.abs(truth_B - count_B) / np.where(undefined_B, 1.0, denominator_B))


def mae(count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"], offset: float = 0.0) -> float:
    """Mean over clips of |c - c^| / (c + offset).

    Args:
        count_B: predicted counts c^, any real numbers.
        truth_B: annotated counts c.
        offset: 0 is the paper's formula; 0.1 (`RELEASED_OFFSET`) that of the released code of TransRAC, IVAC-P2L,
            ESCounts and HL-RAC. At c = 5 the two differ by 2 %, at c = 1 by 9 %.

    Raises:
        ValueError: as `relative_error`, or every clip has c + offset = 0.
    """
    error_B = relative_error(count_B, truth_B, offset)
    if np.isnan(error_B).all():
        raise ValueError("mae is undefined: every true count is zero")
    return float(np.nanmean(error_B))


def within(count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"], alpha: float) -> Bool[np.ndarray, " B"]:
    """|c - c^| <= alpha per clip: the hits that `obo` averages. Raises ValueError as `relative_error` does."""
    count_B, truth_B = _checked(count_B, truth_B)
    return np.abs(truth_B - count_B) <= alpha


def obo(count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"], alpha: float = 1.0) -> float:
    """OBO@alpha: the fraction of clips with |c - c^| <= alpha, in [0, 1], higher is better."""
    return float(within(count_B, truth_B, alpha).mean())


def obo_average(count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"]) -> float:
    """OBO@Avg: the mean of OBO@alpha over the tables' four alphas; no fifth one is hidden in the printed numbers."""
    return float(np.mean([obo(count_B, truth_B, alpha) for alpha in ALPHAS]))


def counting_metrics(count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"]) -> dict[str, float]:
    """Every counting metric by its key.

    The keys with `_rounded` are computed from counts rounded to the nearest integer (halves to even, as in the released
    code): alphas below 1 judge real and integer outputs by different standards, so both are always reported.

    Returns:
        `mae`, `mae_released`, `obo/0.4`, `obo/0.6`, `obo/0.8`, `obo/1`, `obo/avg`, the same with `_rounded`, `n`
        (clips) and `dropped` (clips with a true count of zero: `mae` leaves them out, the other metrics keep them).

    Raises:
        ValueError: as `mae`.
    """
    metrics = _variants(count_B, truth_B)
    metrics |= {f"{key}_rounded": value for key, value in _variants(np.rint(count_B), truth_B).items()}
    return metrics | {"n": float(len(truth_B)), "dropped": float((truth_B == 0).sum())}


def _variants(count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"]) -> dict[str, float]:
    return {
        "mae": mae(count_B, truth_B),
        "mae_released": mae(count_B, truth_B, RELEASED_OFFSET),
        **{f"obo/{alpha:g}": obo(count_B, truth_B, alpha) for alpha in ALPHAS},
        "obo/avg": obo_average(count_B, truth_B),
    }


def _checked(
    count_B: Real[np.ndarray, " B"], truth_B: Real[np.ndarray, " B"]
) -> tuple[Float[np.ndarray, " B"], Float[np.ndarray, " B"]]:
    count_B, truth_B = np.asarray(count_B, np.float64), np.asarray(truth_B, np.float64)
    if count_B.shape != truth_B.shape or not count_B.size:
        raise ValueError(
            f"counts {count_B.shape} and true counts {truth_B.shape} must be equal in length and not empty"
        )
    if not (np.isfinite(count_B).all() and np.isfinite(truth_B).all() and (truth_B >= 0).all()):
        raise ValueError("counts must be finite, and true counts not negative")
    return count_B, truth_B
