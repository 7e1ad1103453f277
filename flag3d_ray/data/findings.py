"""What a check of data found: where, which rule, and what to do. In order, as a table, as csv and as JSON."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_args

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from flag3d_ray.errors import Flag3dError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""`error`: the data break a rule, and numbers made with them are wrong. `warning`: they are probably not what they seem.
`note`: worth knowing."""

LISTED = 200
"""Lines of a table on a terminal; csv and JSON list everything."""
_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}
_ROW = re.compile(r"(?P<file>.+?), (?P<row>(?:row|line|frame|repetition) \d+.*)")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found.

    `file` is relative to the folder that was checked, empty for what concerns all of it. `row` says where in the file: a
    row, a repetition, frames. `sample` is the id of the sequence where one is concerned that could be read.
    """

    severity: Severity
    file: str = ""
    row: str = ""
    rule: str
    remedy: str
    sample: str = ""

    @classmethod
    def of(cls, error: Flag3dError, root: Path, file: str = "") -> "Finding":
        """An error as a finding, its place cut into file and row.

        Args:
            file: where it came up, for errors whose place is no file: what they say of it goes into the rule.
        """
        named, row = _cut(error.where)
        place = relative(named, root)
        place = "" if place == "." else place
        if not file or place == file or _is_file(root / place):
            return cls(severity="error", file=place, row=row, rule=error.rule, remedy=error.remedy)
        rule = f"{place}: {error.rule}" if place else error.rule
        return cls(severity="error", file=file, row=row, rule=rule, remedy=error.remedy)

    def at(self, file: str, row: str = "", sample: str = "") -> "Finding":
        """The same in a file, and in a row of it where the finding itself says where in that row."""
        place = ", ".join(part for part in (row, self.row) if part)
        return replace(self, file=file, row=place, sample=sample)


def _cut(where: str) -> tuple[str, str]:
    """File and row of a place like `a.csv, row 3`; what follows an existing file is where in it, whatever it is."""
    parts = where.split(", ")
    for number in range(len(parts), 0, -1):
        if _is_file(Path(", ".join(parts[:number]))):
            return ", ".join(parts[:number]), ", ".join(parts[number:])
    found = _ROW.fullmatch(where)
    return (found["file"], found["row"]) if found else (where, "")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # texts that no file can have as its name
        return False


def relative(file: str, root: Path) -> str:
    """The part of a path below `root`, as it is where it lies elsewhere or is no path."""
    for folder in (root, root.resolve()):
        if Path(file).is_relative_to(folder):
            return str(Path(file).relative_to(folder))
    return file


def ordered(findings: Iterable[Finding], least: Severity = "note") -> list[Finding]:
    """Findings of `least` severity and above: the severe ones first, then by file and row, numbers in them as numbers."""
    kept = SEVERITIES[: SEVERITIES.index(least) + 1]
    chosen = dict.fromkeys(finding for finding in findings if finding.severity in kept)
    return sorted(chosen, key=lambda one: (kept.index(one.severity), _natural(one.file), _natural(one.row), one.rule))


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", text)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def summary(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 warning`; `no finding`."""
    counts = Counter(finding.severity for finding in findings)
    said = [f"{counts[name]} {name}{'s' if counts[name] != 1 else ''}" for name in SEVERITIES if counts[name]]
    return ", ".join(said) or "no finding"


def to_table(findings: Sequence[Finding], listed: int = LISTED) -> Table:
    """The first `listed` findings for a terminal; characters that could steer it are replaced."""
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for head in ("severity", "file", "row", "rule", "remedy"):
        grid.add_column(head, overflow="fold", no_wrap=head == "severity")
    for finding in findings[:listed]:
        words = (finding.file, finding.row or finding.sample, finding.rule, finding.remedy)
        grid.add_row(Text(finding.severity, style=_STYLES[finding.severity]), *(Text(_plain(word)) for word in words))
    if len(findings) > listed:
        grid.caption = f"{len(findings) - listed} more: --format csv lists all"
    return grid


def to_csv(findings: Iterable[Finding]) -> str:
    """One line per finding, with a header."""
    out = io.StringIO()
    lines = csv.DictWriter(out, [field.name for field in fields(Finding)], lineterminator="\n")
    lines.writeheader()
    lines.writerows(map(asdict, findings))
    return out.getvalue().encode("utf-8", "backslashreplace").decode()  # names of files need not be text


def to_json(findings: Iterable[Finding]) -> str:
    """A list of objects."""
    return json.dumps(list(map(asdict, findings)), indent=1)


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
