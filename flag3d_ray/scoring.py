"""A table's numbers, read from the `predictions.parquet` of its finished runs: no model, no GPU and no Ray."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow
import pyarrow.parquet
from jaxtyping import Float, Shaped

from flag3d_ray.data.exclusions import load_exclusions
from flag3d_ray.data.manifest import load_manifest
from flag3d_ray.errors import EncoderUnreachable, RunError
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.metrics import ALPHAS, RELEASED_OFFSET, relative_error, within
from flag3d_ray.statistics import Interval, cluster_bootstrap
from flag3d_ray.store import RunFolder
from flag3d_ray.tables import Row, ScoredCell, ScoredRow, ScoredTable, Table, Variant, metric

CLOSE = 0.05


def score(table: Table, home: Home, *, variant: Variant | None = None, draws: int = 2000) -> ScoredTable:
    """Read a table's numbers from the store: per cell the mean over clips and seeds with a 95 % bootstrap interval.

    The interval resamples actions, the sequences of each action, and seeds, `draws` times. A row of which some seeds
    finished is scored on those and says so.

    Raises:
        DataError: the dataset, or the exclusion list of the table, is not there.
        RunError: predictions of one row's seeds are of different clips, or a predictions file is damaged.
    """
    variant = variant or Variant()
    rows = tuple(_score_row(table, row, home, variant, draws) for row in table.rows)
    runs, folder = table.runs(), home.dataset(table.dataset)
    return ScoredTable(
        table=table,
        variant=variant,
        rows=rows,
        dataset_digest=load_manifest(folder).digest,
        split=runs[0].data.split if runs else "",
        draws=draws,
        excluded=len(load_exclusions(folder, table.exclude)) if table.exclude else 0,
    )


def _score_row(table: Table, row: Row, home: Home, variant: Variant, draws: int) -> ScoredRow:
    found = _outcomes(row, home)
    if not found.finished:
        return _empty_row(table, row, "failed" if found.failures else "not run", found.reason)
    test = _read_test(row, found.finished)
    values = {
        key: np.stack([clip_values(key, count_N, test.truth_N, variant) for count_N in test.count_SN])
        for key in table.metrics
    }
    intervals = {
        key: cluster_bootstrap(value_SN, test.action_N, test.sequence_N, n=draws) for key, value_SN in values.items()
    }
    seeds = len(found.finished)
    cells = tuple(
        ScoredCell(
            id=f"T{table.number}:{row.method}:{key}",
            metric=key,
            measured=interval,
            published=row.published.get(key),
            verdict=verdict(table, row, key, interval, seeds),
        )
        for key, interval in intervals.items()
    )
    counts = {"clips": len(test.truth_N), "sequences": len(set(test.sequence_N)), "actions": len(set(test.action_N))}
    return ScoredRow(row=row, state="measured", cells=cells, reason=found.reason, seeds=seeds, **counts)


def verdict(table: Table, row: Row, key: str, measured: Interval, seeds: int) -> str:
    """What the measured number says about the printed one.

    `reproduced`: the printed number lies in the interval; `close`: outside but within 5 %; else `better` or `worse`.
    One seed decides nothing (`1 seed`), nor do other data: on synthetic data it is `synthetic - not comparable`.
    """
    published = row.published.get(key)
    if table.incomparable:
        return table.incomparable
    if published is None:
        return "nothing printed"
    if seeds < 2 and not row.deterministic:
        return "1 seed"
    if measured.low <= published <= measured.high:
        return "reproduced"
    if abs(measured.mean - published) <= CLOSE * abs(published):
        return "close"
    lower_is_better = metric(key, Variant()).better == "lower"
    return "better" if (measured.mean < published) == lower_is_better else "worse"


def clip_values(
    key: str, count_N: Float[np.ndarray, " N"], truth_N: Float[np.ndarray, " N"], variant: Variant
) -> Float[np.ndarray, " N"]:
    """The metric's value of each clip: its mean, without the NaN of clips whose true count is zero, is the metric."""
    count_N = np.rint(count_N) if variant.rounded else count_N
    if key == "mae":
        return relative_error(count_N, truth_N, RELEASED_OFFSET if variant.formula == "released" else 0.0)
    alphas = ALPHAS if key == "obo/avg" else (float(key.removeprefix("obo/")),)
    return np.mean([within(count_N, truth_N, alpha) for alpha in alphas], axis=0)


@dataclass(frozen=True)
class _Test:
    """The test clips of a row, in the order of their ids: the same for every seed S."""

    count_SN: Float[np.ndarray, "S N"]
    truth_N: Float[np.ndarray, " N"]
    action_N: Shaped[np.ndarray, " N"]
    sequence_N: Shaped[np.ndarray, " N"]


@dataclass
class _Outcomes:
    """What became of a row's runs: the folders of the finished ones, and why others are not."""

    finished: list[RunFolder] = field(default_factory=list)
    failures: dict[str, list[int]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """`failed: REASON (seeds 0, 1); not run yet`, each reason once; empty when every run finished."""
        failed = [f"failed: {why} (seed {', '.join(map(str, seeds))})" for why, seeds in self.failures.items()]
        return "; ".join([*failed, *dict.fromkeys(self.missing)])


def _outcomes(row: Row, home: Home) -> _Outcomes:
    found = _Outcomes(missing=[row.why_not] if row.why_not else [])
    for run in row.runs:
        try:
            folder = home.store.folder(run_key(run, home))
        except EncoderUnreachable:
            found.missing.append(f"text encoder {run.data.text.encoder if run.data.text else ''} unreachable")
            continue
        if folder.status == "finished":
            found.finished.append(folder)
        elif folder.status == "failed":
            # Paths differ between homes, and the table must not.
            reason = folder.record().get("reason", "no reason recorded").replace(str(home.root), "HOME")
            found.failures.setdefault(reason, []).append(run.seed)
        else:
            found.missing.append("not run yet")
    return found


def _empty_row(table: Table, row: Row, state: Literal["not run", "failed"], reason: str) -> ScoredRow:
    cells = tuple(
        ScoredCell(
            id=f"T{table.number}:{row.method}:{key}",
            metric=key,
            measured=None,
            published=row.published.get(key),
            verdict=state,
        )
        for key in table.metrics
    )
    return ScoredRow(row=row, state=state, cells=cells, reason=reason)


def _read_test(row: Row, folders: Sequence[RunFolder]) -> _Test:
    columns = [_read_predictions(folder) for folder in folders]
    first = columns[0]
    for folder, other in zip(folders, columns, strict=True):
        if other["clip_id"] != first["clip_id"] or other["truth"] != first["truth"]:
            rule = f"its test clips differ from those of run {folders[0].key}, another seed of {row.method}"
            raise RunError(where=str(folder.predictions), rule=rule, remedy="delete the run's folder and run it again")
    return _Test(
        count_SN=np.array([column["count"] for column in columns], dtype=np.float64),
        truth_N=np.array(first["truth"], dtype=np.float64),
        action_N=np.array(first["action_id"]),
        sequence_N=np.array(first["sample_id"]),
    )


def _read_predictions(folder: RunFolder) -> dict[str, list[Any]]:
    names = ["clip_id", "sample_id", "action_id", "truth", "count"]
    try:
        return pyarrow.parquet.read_table(folder.predictions, columns=names).sort_by("clip_id").to_pydict()
    except (pyarrow.ArrowException, OSError) as error:
        rule = f"predictions are missing or damaged ({type(error).__name__})"
        raise RunError(
            where=str(folder.predictions), rule=rule, remedy="delete the run's folder and run it again"
        ) from error
