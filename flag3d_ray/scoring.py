"""A table's numbers, read from the `predictions.parquet` of its finished runs: no model, no GPU and no Ray."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from jaxtyping import Bool, Float, Shaped

from flag3d_ray.data.catalogue import require
from flag3d_ray.data.exclusions import load_exclusions
from flag3d_ray.data.manifest import MANIFEST, load_manifest
from flag3d_ray.data.splits import is_stored, load_split
from flag3d_ray.errors import DataError, EncoderUnreachable, RunError
from flag3d_ray.files import local_copy
from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.metrics import ALPHAS, RELEASED_OFFSET, relative_error, within
from flag3d_ray.run import DataSpec, Run
from flag3d_ray.statistics import Interval, cluster_bootstrap
from flag3d_ray.store import RunFolder
from flag3d_ray.tables import (
    VARIANTS,
    Column,
    Row,
    ScoredCell,
    ScoredRow,
    ScoredTable,
    Size,
    Slice,
    Source,
    Table,
    Variant,
    metric,
)

CLOSE = 0.05


def score(table: Table, home: Home, *, variant: Variant | None = None, draws: int = 2000) -> ScoredTable:
    """Read a table's numbers from the store: per cell the mean over clips and seeds with a 95 % bootstrap interval.

    The interval resamples actions, the sequences of each action, and seeds, `draws` times. A row of which some seeds
    finished is scored on those and says so; one whose data are not here says how to get them. The other variants come
    with it (`ScoredTable.others`).

    Raises:
        DataError: the exclusion list of the table is not there, or a dataset's manifest or split is damaged.
        RunError: predictions of one row's seeds are of different clips, or a predictions file is damaged.
    """
    variant = variant or Variant()
    found = [_look_up(row, table, home) for row in table.rows]
    excluded = len(load_exclusions(home.dataset(table.dataset), table.exclude)) if table.exclude else 0
    chosen, *others = (
        ScoredTable(
            table=table,
            variant=one,
            rows=tuple(_score_row(table, row, one, draws) for row in found),
            draws=draws,
            excluded=excluded,
            computed=tuple(sorted({how for row in found for how in row.computed})),
        )
        for one in (variant, *(other for other in VARIANTS if other != variant))
    )
    return replace(chosen, others=tuple(others))


def not_here(run: Run, home: Home) -> str:
    """Why a run has nothing to read in this home: its dataset or split, or that of a run it starts from, is not there, or
    the two are of different skeletons.

    Empty where all are there, damaged or not. The sentence says how to get them.
    """
    data, source = run.data, run.parent
    if absent := data_not_here(data, home):
        return absent
    if source is None:
        return ""
    if absent := not_here(source, home):
        return absent
    here, there = (load_manifest(home.dataset(name)).layout for name in (data.dataset, source.data.dataset))
    if here != there:
        remedy = f"flag3d data ingest {data.dataset} PATH-TO-YOUR-COPY --layout {there} --force"
        return f"{data.dataset} is in the layout {here}, {source.data.dataset} in {there}: {remedy}"
    return ""


def data_not_here(data: DataSpec, home: Home) -> str:
    """Why a dataset or its split is not in this home, and how to get it; empty where both are there, damaged or not."""
    folder = home.dataset(data.dataset)
    try:
        require(data.dataset, folder)
        if not is_stored(folder, data.split):
            load_split(folder, data.split)
    except DataError as error:
        return f"{error.rule}: {error.remedy}"
    return ""


def verdict(table: Table, row: Row, column: Column, measured: Interval, seeds: int) -> str:
    """What the measured number says about the printed one.

    `reproduced`: the printed number lies in the interval; `close`: outside but within 5 %; else `better` or `worse`.
    One seed decides nothing (`1 seed`), nor do other data: on synthetic data it is `synthetic - not comparable`.
    """
    published = row.published.get(column.key)
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
    lower_is_better = metric(column.metric, Variant()).better == "lower"
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
    body_part_N: Shaped[np.ndarray, " N"]

    def of(self, part: Slice | None) -> "_Test":
        """The clips of a slice."""
        if part is None:
            return self
        chosen_N: Bool[np.ndarray, " N"] = np.isin(self.body_part_N, part.body_parts)
        rest = (self.truth_N, self.action_N, self.sequence_N, self.body_part_N)
        return _Test(self.count_SN[:, chosen_N], *(array_N[chosen_N] for array_N in rest))

    @property
    def size(self) -> Size:
        return Size(len(self.truth_N), len(set(self.sequence_N)), len(set(self.action_N)))


@dataclass
class _Found:
    """What became of a row's runs: what the finished ones predicted, and why others did not finish."""

    row: Row
    source: Source
    finished: list[RunFolder] = field(default_factory=list)
    failures: dict[str, list[int]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    computed: set[str] = field(default_factory=set)
    test: _Test | None = None
    intervals: dict[tuple[Column, Variant], Interval | None] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """`failed: REASON (seeds 0, 1); not run yet`, each reason once; empty when every run finished."""
        failed = [f"failed: {why} (seed {', '.join(map(str, seeds))})" for why, seeds in self.failures.items()]
        return "; ".join([*failed, *dict.fromkeys(self.missing)])

    def interval(self, column: Column, variant: Variant, draws: int) -> Interval | None:
        """Computed once for variants that agree: OBO has one formula only. None where the slice has no clip with a count."""
        variant = variant if column.metric == "mae" else replace(variant, formula="paper")
        if (column, variant) not in self.intervals:
            self.intervals[column, variant] = _interval(self.test, column, variant, draws)
        return self.intervals[column, variant]


def _interval(test: _Test | None, column: Column, variant: Variant, draws: int) -> Interval | None:
    if test is None:
        return None
    test = test.of(column.slice)
    if not len(test.truth_N):
        return None
    value_SN = np.stack([clip_values(column.metric, count_N, test.truth_N, variant) for count_N in test.count_SN])
    if np.isnan(value_SN).all():
        return None
    return cluster_bootstrap(value_SN, test.action_N, test.sequence_N, n=draws)


def _score_row(table: Table, found: _Found, variant: Variant, draws: int) -> ScoredRow:
    row, seeds = found.row, len(found.finished)
    state = "measured" if found.test is not None else "failed" if found.failures else "not run"
    cells = []
    for column in table.columns:
        measured = found.interval(column, variant, draws)
        if measured is None:
            said = "no clip" if state == "measured" else state
        else:
            said = verdict(table, row, column, measured, seeds)
        cells.append(
            ScoredCell(
                id=table.cell_id(row, column),
                column=column,
                measured=measured,
                published=row.published.get(column.key),
                verdict=said,
                size=found.test.of(column.slice).size if found.test else Size(),
            )
        )
    return ScoredRow(
        row=row,
        state=state,
        cells=tuple(cells),
        source=found.source,
        reason=found.reason,
        seeds=seeds,
        size=found.test.size if found.test else Size(),
    )


def _look_up(row: Row, table: Table, home: Home) -> _Found:
    found = _Found(row, _source(row, table, home), missing=[row.why_not] if row.why_not else [])
    for run in row.runs:
        if absent := not_here(run, home):
            found.missing.append(absent)
            continue
        try:
            folder = home.store.folder(run_key(run, home))
        except EncoderUnreachable:
            found.missing.append(f"text encoder {run.data.text.encoder if run.data.text else ''} unreachable")
            continue
        if folder.status == "finished":
            found.finished.append(folder)
            if run.train.epochs and (device := folder.record().get("device")):
                found.computed.add(f"{run.train.precision} on {device}")
        elif folder.status == "failed":
            # Paths differ between homes, and the table must not.
            reason = (
                folder.record()
                .get("reason", "no reason recorded")
                .replace(str(home.root), "HOME")
                .replace(str(home.local), "HOME")
            )
            found.failures.setdefault(reason, []).append(run.seed)
        else:
            found.missing.append("not run yet")
    if found.finished:
        found.test = _read_test(row, found.finished)
    return found


def _source(row: Row, table: Table, home: Home) -> Source:
    dataset, split = (row.runs[0].data.dataset, row.runs[0].data.split) if row.runs else (table.dataset, "")
    folder = home.dataset(dataset)
    return Source(dataset, load_manifest(folder).digest if (folder / MANIFEST).is_file() else "", split)


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
        body_part_N=np.array(first["body_part"]),
    )


def _read_predictions(folder: RunFolder) -> dict[str, list[Any]]:
    names = ["clip_id", "sample_id", "action_id", "body_part", "truth", "count"]
    try:
        with local_copy(folder.predictions) as file:
            return pyarrow.parquet.read_table(file, columns=names).sort_by("clip_id").to_pydict()
    except (pyarrow.ArrowException, OSError) as error:
        rule = f"predictions are missing or damaged ({type(error).__name__})"
        remedy = f"delete {folder.metrics_path.name} beside it and type the same command again: they are made anew"
        raise RunError(where=str(folder.predictions), rule=rule, remedy=remedy) from error
