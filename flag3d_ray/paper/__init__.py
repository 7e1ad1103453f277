"""The numbers printed in Tables 2 to 12 of the FLAG3D++ paper, in the project's metric keys (`obo/1`, `spearman`, ...).

They are what a measured table is compared with, and nothing else: no method reads them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from flag3d_ray.errors import DataError


@dataclass(frozen=True)
class PublishedRow:
    """One printed row, or one cell group of a table that is split by body part.

    `arm` says which experiment it is: `method`, and where the table has them `input`, `body_part`, `caption_level`,
    `factor` and `level`, `segmentation`, `subset`, `dataset`. `metrics` holds the numbers exactly as printed.
    """

    label: str
    arm: Mapping[str, str | int]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class PublishedTable:
    """A printed table: its rows in the order of the paper."""

    number: int
    title: str
    dataset: str
    rows: tuple[PublishedRow, ...]

    def row(self, **arm: str | int) -> PublishedRow:
        """The only row whose `arm` has these values, for example `row(method="knn", body_part="arm")`.

        Raises:
            DataError: no row, or more than one, has them.
        """
        found = [row for row in self.rows if arm.items() <= row.arm.items()]
        if len(found) != 1:
            arms = "; ".join(str(dict(row.arm)) for row in found or self.rows)
            raise DataError(
                where=f"Table {self.number}, {arm}",
                rule=f"{len(found)} printed rows match, one must",
                remedy=f"name one of: {arms}",
            )
        return found[0]


@cache
def published(table: int) -> PublishedTable:
    """The printed Table `table` (2 to 12).

    Raises:
        DataError: the paper has no such table of results.
    """
    printed = json.loads(files(__name__).joinpath("tables.json").read_text(encoding="utf-8"))
    if str(table) not in printed:
        raise DataError(where=f"Table {table}", rule="no printed results", remedy=f"choose one of {', '.join(printed)}")
    entry = printed[str(table)]
    rows = tuple(
        PublishedRow(row["label"], MappingProxyType(row["arm"]), MappingProxyType(row["metrics"]))
        for row in entry["rows"]
    )
    return PublishedTable(table, entry["title"], entry["dataset"], rows)
