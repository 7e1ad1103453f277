"""The paper's tables and ours: what each row asks (`Table`, `Row`) and the form of the answer (`ScoredTable`, see `scoring`).

Declaring a table stays cheap: nothing here loads torch, Ray or Arrow. The same results give the same table byte for
byte, so nothing here knows of durations, dates or paths.
"""

import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from flag3d_ray.errors import RunError
from flag3d_ray.metrics import ALPHAS, RELEASED_OFFSET
from flag3d_ray.run import Run
from flag3d_ray.statistics import Interval

PAPER_DATASET = "flag3d"
PAPER_PRESET = "paper"
COUNTING_METRICS = ("mae", *(f"obo/{alpha:g}" for alpha in ALPHAS), "obo/avg")
_MODULE = re.compile(r"table(?:(?P<number>\d\d)_\w+|_(?P<name>\w+))")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: a method in one setting, run once per seed.

    `method` is the id used in cells (`T3:METHOD:METRIC`), unique in its table. Without `runs` the row is `not run` and
    `why_not` says why. `deterministic` rows draw nothing at random, so that one run is complete. `published` holds the
    printed numbers by column (`Column.key`) and is empty for rows of our own.
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
class Slice:
    """Test clips that a table scores by themselves: those whose activity trains one of `body_parts`."""

    id: str
    label: str
    body_parts: tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """A metric over all test clips, or over those of a slice."""

    metric: str
    slice: Slice | None = None

    @property
    def key(self) -> str:
        """`mae`, or `arm/mae` in a slice."""
        return f"{self.slice.id}/{self.metric}" if self.slice else self.metric


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper or of our own, declared: its rows in order, with one preset.

    `name` is the paper's number, or what a table of ours is called. `dataset` is what its rows are trained on, and tested on
    where a row's runs say no other. With `slices` every metric has a column for each of them. `notes` are sentences on the
    protocol that its readers must know. `exclude` is the digest of the exclusion list that its runs on `dataset` leave out
    (`DataSpec.exclude`). `printed_on` is the data that the paper's own numbers are of.
    """

    name: str
    title: str
    dataset: str
    preset: str
    rows: tuple[Row, ...]
    metrics: tuple[str, ...] = COUNTING_METRICS
    slices: tuple[Slice, ...] = ()
    notes: tuple[str, ...] = ()
    exclude: str = ""
    printed_on: str = "FLAG3D++"

    def __post_init__(self) -> None:
        ids = [row.method for row in self.rows]
        if len(set(ids)) < len(ids):
            raise RunError(where=f"table {self.name}", rule="two rows share an id", remedy="give each row its own")

    def runs(self) -> tuple[Run, ...]:
        """Every run of the table, once, in the order of the rows."""
        return tuple(dict.fromkeys(run for row in self.rows for run in row.runs))

    def excluding(self, exclude: str) -> "Table":
        """The same table without the sequences of a list that is stored with its dataset."""
        rows = [replace(row, runs=tuple(run.excluding(self.dataset, exclude) for run in row.runs)) for row in self.rows]
        return replace(self, rows=tuple(rows), exclude=exclude)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, slice by slice."""
        return tuple(Column(metric, part) for part in self.slices or (None,) for metric in self.metrics)

    @property
    def is_printed(self) -> bool:
        """Whether the paper has it."""
        return self.name.isdigit()

    @property
    def stem(self) -> str:
        """What its files are called: `table03`, `table_transfer`."""
        return f"table{int(self.name):02d}" if self.is_printed else f"table_{self.name}"

    def cell_id(self, row: Row, column: Column) -> str:
        """`T3:hl_rac_multiplication:mae`, `T5:knn:arm/obo/1`, `transfer:persons_knn:mae`."""
        return f"{'T' if self.is_printed else ''}{self.name}:{row.method}:{column.key}"

    @property
    def tested_on(self) -> tuple[str, ...]:
        """The datasets whose clips its rows are judged on; its own where none has runs."""
        return tuple(dict.fromkeys(run.data.dataset for run in self.runs())) or (self.dataset,)

    @property
    def group(self) -> str:
        """What its runs are grouped under in a tracker: `table03-tiny-synthetic`, `...-without-DIGEST12`."""
        without = f"-without-{self.exclude}" if self.exclude else ""
        return f"{self.stem}-{self.preset}-{self.dataset}{without}"

    @property
    def incomparable(self) -> str:
        """Why measured and printed numbers may not be compared; empty where they may, or where nothing is printed."""
        if not self.is_printed:
            return ""
        if self.dataset.startswith("synthetic"):
            return "synthetic - not comparable"
        # Table 7's dataset is the paper's by name only: the skeletons are whichever a user extracted.
        if self.dataset != PAPER_DATASET:
            return "other data - not comparable"
        return "" if self.preset == PAPER_PRESET else "other preset - not comparable"


@dataclass(frozen=True)
class Variant:
    """How the metrics are computed: `released` divides by c + 0.1, `rounded` rounds the predicted counts first."""

    formula: Literal["paper", "released"] = "paper"
    rounded: bool = False


VARIANTS = (Variant(), Variant(rounded=True), Variant("released"), Variant("released", rounded=True))


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


@dataclass(frozen=True)
class Size:
    """How much was tested, over all seeds alike."""

    clips: int = 0
    sequences: int = 0
    actions: int = 0


@dataclass(frozen=True, kw_only=True)
class ScoredCell:
    """One number beside the printed one. `measured` is None where nothing ran or no clip is of the slice, `published` for
    rows of our own."""

    id: str
    column: Column
    measured: Interval | None
    published: float | None
    verdict: str
    size: Size = Size()


@dataclass(frozen=True)
class Source:
    """What a row was tested on: a dataset, its digest (empty where it is not here), and the split."""

    dataset: str
    digest: str = ""
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoredRow:
    """A row with its numbers. `seeds` finished; `reason` says why the row, or some of its seeds, has no number."""

    row: Row
    state: Literal["measured", "not run", "failed"]
    cells: tuple[ScoredCell, ...]
    source: Source
    reason: str = ""
    seeds: int = 0
    size: Size = Size()

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
    """A table with its numbers, ready to render; `others` is the same table under the other variants.

    `excluded` sequences are named by the list `table.exclude`; `computed` are the precisions and devices of trained runs.
    """

    table: Table
    variant: Variant
    rows: tuple[ScoredRow, ...]
    draws: int
    excluded: int = 0
    computed: tuple[str, ...] = ()
    others: tuple["ScoredTable", ...] = ()

    @property
    def every_variant(self) -> tuple["ScoredTable", ...]:
        """This table and the others, in the order of `VARIANTS`."""
        return tuple(sorted((self, *self.others), key=lambda scored: VARIANTS.index(scored.variant)))

    def cell(self, id: str) -> ScoredCell:
        """The cell of that id, see `Table.cell_id`.

        Raises:
            RunError: the table has no such cell.
        """
        for row in self.rows:
            for cell in row.cells:
                if cell.id == id:
                    return cell
        prefix = "T" if self.table.is_printed else ""
        remedy = (
            f"write {prefix}{self.table.name}:METHOD:METRIC with one of {', '.join(r.row.method for r in self.rows)}"
        )
        raise RunError(where=f"cell {id}", rule=f"table {self.table.name} has no such cell", remedy=remedy)


def declared_tables() -> dict[str, str]:
    """Name -> module of each table in `experiments`, by file name: `table03_counting` is 3, `table_transfer` transfer."""
    experiments = importlib.import_module("experiments")
    found = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(experiments.__path__)):
        if named := _MODULE.fullmatch(module):
            number, name = named["number"], named["name"]
            found[name or str(int(number))] = f"{experiments.__name__}.{module}"
    return found


def load_table(name: str, **options: Any) -> Table:
    """The declaration of a table, by its number or name; `options` as its `table` function takes them.

    Raises:
        RunError: no such table is declared.
    """
    modules = declared_tables()
    if name not in modules:
        raise RunError(
            where=f"table {name}", rule="not declared in experiments", remedy=f"choose one of {', '.join(modules)}"
        )
    return importlib.import_module(modules[name]).table(**options)


def metric(key: str, variant: Variant) -> Metric:
    """What the metric `key` means under a variant."""
    counts = f"c the true and c' the predicted count{', rounded' if variant.rounded else ''}"
    if key == "mae":
        below = "c" if variant.formula == "paper" else f"(c + {RELEASED_OFFSET:g})"
        return Metric("MAE", "lower", f"mean over clips of |c - c'| / {below}, {counts}; 0 is perfect")
    if key == "obo/avg":
        alphas = ", ".join(f"{alpha:g}" for alpha in ALPHAS)
        return Metric("OBO@Avg", "higher", f"mean of OBO@{{{alphas}}}; a fraction, 1 is perfect")
    alpha = key.removeprefix("obo/")
    return Metric(f"OBO@{alpha}", "higher", f"fraction of clips with |c - c'| <= {alpha}, {counts}; 1 is perfect")
