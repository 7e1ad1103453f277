"""The paper's tables: what each row asks (`Table`, `Row`) and the form of the answer (`ScoredTable`, see `scoring`).

Declaring a table stays cheap: nothing here loads torch, Ray or Arrow. The same results give the same table byte for
byte, so nothing here knows of durations, dates or paths.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from flag3d_ray.errors import RunError
from flag3d_ray.metrics import ALPHAS, RELEASED_OFFSET
from flag3d_ray.run import Run
from flag3d_ray.statistics import Interval

PAPER_DATASET = "flag3d++"
PAPER_PRESET = "paper"
COUNTING_METRICS = ("mae", *(f"obo/{alpha:g}" for alpha in ALPHAS), "obo/avg")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: a method in one setting, run once per seed.

    `method` is the id used in cells (`T3:METHOD:METRIC`), unique in its table. Without `runs` the row is `not run` and
    `why_not` says why. `deterministic` rows draw nothing at random, so that one run is complete. `published` holds the
    printed numbers by metric and is empty for rows of our own.
    """

    method: str
    label: str
    runs: tuple[Run, ...] = ()
    why_not: str = ""
    note: str = ""
    group: str = ""
    deterministic: bool = False
    published: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.runs) == bool(self.why_not):
            rule = "a row has either runs or a reason why it has none"
            raise RunError(where=f"row {self.method}", rule=rule, remedy="give one of `runs` and `why_not`")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper, declared: the rows in the paper's order, on one dataset with one preset.

    `notes` are sentences on the protocol that its readers must know. `exclude` is the digest of the exclusion list that its
    runs on `dataset` leave out (`DataSpec.exclude`).
    """

    number: int
    title: str
    dataset: str
    preset: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...] = COUNTING_METRICS
    notes: tuple[str, ...] = ()
    exclude: str = ""

    def __post_init__(self) -> None:
        ids = [row.method for row in self.rows]
        if len(set(ids)) < len(ids):
            raise RunError(where=f"table {self.number}", rule="two rows share an id", remedy="give each row its own")

    def runs(self) -> tuple[Run, ...]:
        """Every run of the table, once, in the order of the rows."""
        return tuple(dict.fromkeys(run for row in self.rows for run in row.runs))

    def excluding(self, exclude: str) -> "Table":
        """The same table without the sequences of a list that is stored with its dataset."""
        rows = [replace(row, runs=tuple(run.excluding(self.dataset, exclude) for run in row.runs)) for row in self.rows]
        return replace(self, rows=tuple(rows), exclude=exclude)

    @property
    def group(self) -> str:
        """What its runs are grouped under in a tracker: `table03-tiny-synthetic`, `...-without-DIGEST12`."""
        without = f"-without-{self.exclude}" if self.exclude else ""
        return f"table{self.number:02d}-{self.preset}-{self.dataset}{without}"

    @property
    def incomparable(self) -> str:
        """Why measured and printed numbers may not be compared; empty where they may."""
        if self.dataset.startswith("synthetic"):
            return "synthetic - not comparable"
        if self.dataset != PAPER_DATASET:
            return "other data - not comparable"
        return "" if self.preset == PAPER_PRESET else "other preset - not comparable"


@dataclass(frozen=True)
class Variant:
    """How the metrics are computed: `released` divides by c + 0.1, `rounded` rounds the predicted counts first."""

    formula: Literal["paper", "released"] = "paper"
    rounded: bool = False


@dataclass(frozen=True)
class Metric:
    """What a column holds; `better` is the direction, `meaning` a sentence with range and unit."""

    label: str
    better: Literal["lower", "higher"]
    meaning: str

    @property
    def arrow(self) -> str:
        """↓ where lower is better, ↑ where higher is."""
        return "↓" if self.better == "lower" else "↑"


@dataclass(frozen=True, kw_only=True)
class ScoredCell:
    """One number beside the printed one. `measured` is None where nothing ran, `published` for rows of our own."""

    id: str
    metric: str
    measured: Interval | None
    published: float | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class ScoredRow:
    """A row with its numbers. `seeds` finished; `reason` says why the row, or some of its seeds, has no number."""

    row: Row
    state: Literal["measured", "not run", "failed"]
    cells: tuple[ScoredCell, ...]
    reason: str = ""
    seeds: int = 0
    clips: int = 0
    sequences: int = 0
    actions: int = 0

    @property
    def seeds_label(self) -> str:
        """`3 seeds`, `1 seed`, `no draw` for a method without randomness, `-` where nothing was measured."""
        if self.state != "measured":
            return "-"
        if self.row.deterministic:
            return "no draw"
        return f"{self.seeds} seed{'s' if self.seeds != 1 else ''}"


@dataclass(frozen=True, kw_only=True)
class ScoredTable:
    """A table with its numbers, ready to render. `excluded` sequences are named by the list `table.exclude`."""

    table: Table
    variant: Variant
    rows: tuple[ScoredRow, ...]
    dataset_digest: str
    split: str
    draws: int
    excluded: int = 0

    def cell(self, id: str) -> ScoredCell:
        """The cell of that id, as `T3:hl_rac_multiplication:mae`.

        Raises:
            RunError: the table has no such cell.
        """
        for row in self.rows:
            for cell in row.cells:
                if cell.id == id:
                    return cell
        remedy = f"write T{self.table.number}:METHOD:METRIC with one of {', '.join(r.row.method for r in self.rows)}"
        raise RunError(where=f"cell {id}", rule=f"table {self.table.number} has no such cell", remedy=remedy)


def load_table(number: int, **options: Any) -> Table:
    """The declaration of a table in `experiments`, by its number; `options` as its `table` function takes them.

    Raises:
        RunError: no such table is declared.
    """
    modules: Mapping[int, str] = importlib.import_module("experiments").TABLES
    if number not in modules:
        known = ", ".join(str(known) for known in sorted(modules))
        raise RunError(where=f"table {number}", rule="not declared in experiments", remedy=f"choose one of {known}")
    return importlib.import_module(modules[number]).table(**options)


def metric(key: str, variant: Variant) -> Metric:
    """What the column `key` means under a variant."""
    counts = f"c the true and c' the predicted count{', rounded' if variant.rounded else ''}"
    if key == "mae":
        below = "c" if variant.formula == "paper" else f"(c + {RELEASED_OFFSET:g})"
        return Metric("MAE", "lower", f"mean over clips of |c - c'| / {below}, {counts}; 0 is perfect")
    if key == "obo/avg":
        alphas = ", ".join(f"{alpha:g}" for alpha in ALPHAS)
        return Metric("OBO@Avg", "higher", f"mean of OBO@{{{alphas}}}; a fraction, 1 is perfect")
    alpha = key.removeprefix("obo/")
    return Metric(f"OBO@{alpha}", "higher", f"fraction of clips with |c - c'| <= {alpha}, {counts}; 1 is perfect")
