"""The doctor on somebody's copy of a dataset, in the format that a reader reads, before anything is ingested."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flag3d_ray.data.doctor.examine import Examination, Progress, Report
from flag3d_ray.data.doctor.strays import stray_findings
from flag3d_ray.data.findings import Finding, relative
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.splits import Split
from flag3d_ray.errors import DataError


def examine_copy(reader: Reader, root: Path, progress: Progress | None = None) -> Report:
    """Load every recording of a copy and check it; what cannot be loaded is a finding, and the next one follows.

    Args:
        progress: called with (recordings done, recordings).
    """
    try:
        items = reader.find(root)
    except Exception as error:
        return refused_copy(error, root)
    seen = Examination()
    strays = list(stray_findings(root))
    seen.found(*strays, *_unread(items, root))
    refused = {stray.file for stray in strays}
    for done, item in enumerate(items, start=1):
        file = _file_of(item, root)
        if file not in refused:
            _examine_item(seen, reader, item, file, root)
        if progress is not None:
            progress(done, len(items))
    return seen.finish([(f"split {split.name}", split) for split in _splits(seen, reader, root, len(items))])


def refused_copy(error: Exception, root: Path) -> Report:
    """What is to be said of a copy in which no recording can be looked for."""
    seen, failure = Examination(), _failure(error, root, "")
    seen.found(*(stray for stray in stray_findings(root) if stray.file != failure.file))
    seen.found(replace(failure, remedy=f"{failure.remedy}; then check again: no recording could be looked at"))
    return seen.finish([])


def _unread(items: Sequence[Any], root: Path) -> Iterator[Finding]:
    """Files that lie where recordings lie, end as they do and are none to the reader: left out by it, or misnamed."""
    read = {path for item in items if (path := _path_of(item)) is not None}
    kinds = sorted({(path.parent, path.suffix) for path in read})
    beside = [path for folder, suffix in kinds for path in sorted(folder.glob(f"*{suffix}")) if path not in read]
    if spare := [relative(str(path), root) for path in beside if not path.name.startswith(".") and path.is_file()]:
        named = ", ".join(spare[:5]) + (", ..." if len(spare) > 5 else "")
        rule = f"files beside the recordings that are not read: {len(spare)}, namely {named}"
        remedy = "nothing to do if they are no recordings; else correct their names, or the table that lists them"
        yield Finding(severity="note", rule=rule, remedy=remedy)


def _examine_item(seen: Examination, reader: Reader, item: Any, file: str, root: Path) -> None:
    try:
        sample, notes = reader.examine(item) if reader.examine else (reader.load(item), ())
    except Exception as error:
        seen.found(_failure(error, root, file))
    else:
        seen.found(*(note.at(file, "", sample.sample_id) for note in notes))
        seen.add(sample, file)


def _splits(seen: Examination, reader: Reader, root: Path, items: int) -> Sequence[Split]:
    """The reader's splits of what could be read, which may be too little for them."""
    index = seen.index
    if not len(index):
        return ()
    try:
        return reader.splits(root, index)
    except Exception as error:
        failure = _failure(error, root, "")
        if unread := items - len(index):
            remedy = f"mend what cannot be read ({unread} of {items} recordings) and check again; then {failure.remedy}"
            failure = replace(failure, remedy=remedy)
        seen.found(failure)
        return ()


def _failure(error: Exception, root: Path, file: str) -> Finding:
    """What a reader says is wrong; a reader that breaks instead of saying so is a finding too."""
    if isinstance(error, DataError):
        return Finding.of(error, root, file)
    rule = f"the reader fails: {type(error).__name__}: {error}"
    remedy = "move the file out of the folder, and report this: a reader should say what is wrong"
    return Finding(severity="error", file=file, rule=rule, remedy=remedy)


def _file_of(item: Any, root: Path) -> str:
    """Items are paths, or have one; another one shows itself."""
    path = _path_of(item)
    return str(item)[:120] if path is None else relative(str(path), root)


def _path_of(item: Any) -> Path | None:
    path = item if isinstance(item, Path) else getattr(item, "path", None)
    return path if isinstance(path, Path) else None
