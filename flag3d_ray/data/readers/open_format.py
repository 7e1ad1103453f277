"""The open folder: the one format of ours that anybody can write with a spreadsheet and numpy.

    dataset.json        what the numbers are (see `OpenCard`)
    sequences.csv       one row per sequence: sample_id, action_id, action, subject [, source, view, scene, avatar,
                        body_part, take, fps, image_height, image_width]
    joints/ID.npz       array `joints`, floating point, [T, V, C] or [M, T, V, C]
    joints/ID.csv       or a table: one row per frame, columns pelvis_x, pelvis_y, pelvis_z, ...
    repetitions.csv     optional: sample_id, start, end (exclusive) [, key1, key2, ...]
    captions.csv        optional: action_id, name, details, instructions [, standard1, standard2, ...]
    splits.csv          optional: sample_id, split, part (train, valid, test)

Without captions.csv the action's name stands at all three levels. Recordings are left out by removing their row from
sequences.csv. The reader turns units and axes of the card into metres, right-handed, y up.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Int8

from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.files_in import check_root, contained, normal
from flag3d_ray.data.readers.open_format_joints import UNITS, read_joints, to_y_up
from flag3d_ray.data.readers.open_format_tables import (
    CAPTIONS,
    CARD,
    JOINTS,
    REPETITIONS,
    SEQUENCES,
    SPLITS,
    OpenCard,
    Repetition,
    Row,
    Texts,
    read_captions,
    read_card,
    read_repetitions,
    read_sequences,
    read_splits,
)
from flag3d_ray.data.recognition_splits import with_validation
from flag3d_ray.data.splits import Split, split_all_test, split_by_person
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout

_CORRECT = f"correct the row, or take the sequence out of {SEQUENCES}"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OpenItem:
    """One sequence of an open folder: all that the tables say of it, the file of its joints, which may be absent or a link
    that leads out of the folder, and a second one of that name."""

    path: Path
    twin: Path | None = None
    card: OpenCard
    row: Row
    texts: Texts
    repetitions: tuple[Repetition, ...] = ()


def find(root: Path) -> Sequence[OpenItem]:
    """The sequences of sequences.csv, by sample id. What is wrong with a file of joints is left to `load`.

    Raises:
        DataError: an archive, no folder, a table breaks a rule or is a link out of the folder.
    """
    check_root(root)
    card = read_card(contained(root, root / CARD))
    rows = read_sequences(contained(root, root / SEQUENCES), card)
    files = _joint_files(root)
    names = {row.sample_id for row in rows}
    repetitions, keys = (
        read_repetitions(contained(root, root / REPETITIONS), names) if _has(root, REPETITIONS) else ({}, 0)
    )
    texts = _texts(root, rows, keys)
    if spare := len(files) - sum(normal(row.sample_id) in files for row in rows):
        _log.info("%s: %d files of %s stand in no row of %s and are left out", root, spare, JOINTS, SEQUENCES)
    return [
        OpenItem(
            path=paths[0],
            twin=paths[1] if len(paths) > 1 else None,
            card=card,
            row=row,
            texts=texts[row.action_id],
            repetitions=tuple(repetitions.get(row.sample_id, ())),
        )
        for row in rows
        for paths in [files.get(normal(row.sample_id), [root / JOINTS / f"{row.sample_id}.npz"])]
    ]


def load(item: OpenItem) -> Sample:
    """One sequence in metres, right-handed, y up; in image layouts as it is.

    Raises:
        DataError: the file of its joints is absent, there twice or a link out of the folder; it or the repetitions break
            a rule.
    """
    _check_file(item)
    card, row = item.card, item.row
    skeleton = layout(card.layout)
    joints_MTVC = read_joints(item.path, skeleton)
    if card.unit != "px":
        joints_MTVC = to_y_up(joints_MTVC * np.float32(UNITS[card.unit]), card.up, card.handedness)
    reps_R2, keys_RS = _repetitions(item, joints_MTVC.shape[1])
    fps = row.fps or card.fps
    assert fps is not None, "read_sequences refuses rows without"
    return Sample(
        sample_id=row.sample_id,
        dataset=card.name,
        source=row.source,
        action_id=row.action_id,
        action=row.action,
        body_part=row.body_part,
        subject=row.subject,
        take=row.take,
        fps=float(fps),
        layout=skeleton.name,
        unit="px" if card.unit == "px" else "m",
        captions=item.texts.captions,
        standards=item.texts.standards,
        joints_MTVC=joints_MTVC,
        reps_R2=reps_R2,
        keys_RS=keys_RS,
        view=row.view,
        scene=row.scene,
        avatar=row.avatar,
        image_hw=row.image_hw if card.unit == "px" else None,
    )


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """Those of splits.csv, the parts for validation drawn where it has none; without the table by person, or all test.

    Raises:
        DataError: a row names a sequence that is not there, a sequence stands in no part or in two.
    """
    if not _has(root, SPLITS):
        people = index["subject"].to_pylist()
        return [split_by_person(people) if len(set(people)) >= 3 else split_all_test(index["action_id"].to_pylist())]
    path = contained(root, root / SPLITS)
    known = set(index["sample_id"].to_pylist())
    named = {row.sample_id for row in read_sequences(root / SEQUENCES, read_card(root / CARD))}
    found = []
    for name, rows in read_splits(path).items():
        parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
        for where, sample_id, part in rows:
            if sample_id not in named:
                remedy = f"correct the name or remove the row; the names are those of {SEQUENCES}"
                raise DataError(where=where, rule=f"there is no sequence {sample_id!r}", remedy=remedy)
            if sample_id in known:  # the doctor asks for splits of what could be read
                parts[part].append(sample_id)
        if absent := sorted(known - {sample_id for _, sample_id, _ in rows}):
            rule = f"split {name!r} leaves out {len(absent)} sequences, first {absent[0]!r}"
            raise DataError(where=str(path), rule=rule, remedy=f"give them a part, or remove them from {SEQUENCES}")
        train, valid, test = (tuple(sorted(parts[part])) for part in ("train", "valid", "test"))
        rule = f"as {SPLITS} has it"
        split = Split(name=name, by="sample_id", rule=rule, seed=0, train=train, valid=valid, test=test)
        found.append(with_validation(split, index))
    return found


def reader(root: Path) -> Reader[OpenItem]:
    """The reader of one open folder: its card and layout are those of the folder's own `dataset.json`.

    Raises:
        DataError: see `read_card`.
    """
    check_root(root)
    card = read_card(contained(root, root / CARD))
    return Reader(card=card.manifest_card(), layout=card.layout, find=find, load=load, splits=splits)


def _has(root: Path, name: str) -> bool:
    return (root / name).exists() or (root / name).is_symlink()


def _joint_files(root: Path) -> dict[str, list[Path]]:
    """The files of the folder joints by their normal name: disks differ in how they write accented letters."""
    folder = contained(root, root / JOINTS)
    if not folder.is_dir():
        raise DataError(where=str(folder), rule="no such folder", remedy="put ID.npz or ID.csv there, one per sequence")
    found: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".npz", ".csv")) and (entry.is_symlink() or entry.is_file()):
                found.setdefault(normal(entry.name[:-4]), []).append(Path(entry.path))
    return found


def _check_file(item: OpenItem) -> None:
    """Raise unless there is one file of joints, inside the folder."""
    path, name = item.path, item.row.sample_id
    if item.twin is not None:
        raise DataError(where=str(path), rule=f"{item.twin.name} is there too", remedy="keep one of the two")
    if path.is_symlink():
        contained(path.parents[1], path)
    if not path.is_file():
        rule = f"{SEQUENCES} names it, but there is neither {name}.npz nor {name}.csv"
        raise DataError(where=str(path), rule=rule, remedy=f"put the file there or remove the row from {SEQUENCES}")


def _texts(root: Path, rows: Sequence[Row], keys: int) -> dict[str, Texts]:
    """Texts of every action. Without captions.csv the name is the caption, and standards are called key1, key2, ..."""
    names = {row.action_id: row.action for row in rows}
    if not _has(root, CAPTIONS):
        standards = tuple(f"key{number}" for number in range(1, keys + 1))
        return {action_id: Texts((action, action, action), standards) for action_id, action in names.items()}
    path = contained(root, root / CAPTIONS)
    texts = read_captions(path)
    if absent := sorted(set(names) - set(texts)):
        rule = f"no row for action {', '.join(absent[:5])}"
        raise DataError(where=str(path), rule=rule, remedy="add the row, or remove the file: names are captions then")
    standards = len(next(iter(texts.values())).standards)
    if keys and standards != keys:
        rule = f"{standards} standards for {keys} key scores in {REPETITIONS}"
        raise DataError(where=str(path), rule=rule, remedy="give every key score its column: key1 is about standard1")
    return texts


def _repetitions(item: OpenItem, frames: int) -> tuple[Int[np.ndarray, "R 2"], Int8[np.ndarray, "R S"] | None]:
    """Repetitions and key scores of one sequence, checked against its length."""
    name, ahead = item.row.sample_id, 0
    table = item.path.parents[1] / REPETITIONS
    scored = {len(repetition.keys) for repetition in item.repetitions}
    for repetition in item.repetitions:
        start, end = repetition.start, repetition.end
        rule = ""
        if start < 0 or end > frames:
            rule = f"[{start}, {end}) leaves the {frames} frames of {name}"
        elif end <= start:
            rule = f"[{start}, {end}) of {name} ends before it starts or where it starts (its end is exclusive)"
        elif start < ahead:
            rule = f"[{start}, {end}) of {name} starts before the repetition ahead of it ends, at {ahead}"
        elif len(scored) > 1 and not repetition.keys:
            rule = f"{name} has key scores in some rows and none here"
        if rule:
            raise DataError(where=f"{table}, row {repetition.row}", rule=rule, remedy=_CORRECT)
        ahead = end
    bounds = [(repetition.start, repetition.end) for repetition in item.repetitions]
    reps_R2 = np.array(bounds, np.int32).reshape(-1, 2)
    if not item.repetitions or scored == {0}:
        return reps_R2, None
    return reps_R2, np.array([repetition.keys for repetition in item.repetitions], np.int8)
