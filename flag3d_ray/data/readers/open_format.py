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
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int, Int8

from flag3d_ray.data.reader import Reader
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

_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OpenItem:
    """One sequence of an open folder: all that the tables say of it, and the file of its joints."""

    path: Path
    card: OpenCard
    row: Row
    texts: Texts
    repetitions: tuple[Repetition, ...] = ()


def find(root: Path) -> Sequence[OpenItem]:
    """The sequences of sequences.csv, by sample id.

    Raises:
        DataError: an archive, no folder, a table breaks a rule, a sequence without a file or with two, a file that is a
            link out of the folder.
    """
    check_root(root)
    card = read_card(inside(root, CARD))
    rows = read_sequences(inside(root, SEQUENCES), card)
    files = _joint_files(root)
    names = {row.sample_id for row in rows}
    repetitions, keys = read_repetitions(inside(root, REPETITIONS), names) if _has(root, REPETITIONS) else ({}, 0)
    texts = _texts(root, rows, keys)
    if spare := len(files) - sum(_normal(row.sample_id) in files for row in rows):
        _log.info("%s: %d files of %s stand in no row of %s and are left out", root, spare, JOINTS, SEQUENCES)
    return [
        OpenItem(
            path=_file_of(root, row, files),
            card=card,
            row=row,
            texts=texts[row.action_id],
            repetitions=tuple(repetitions.get(row.sample_id, ())),
        )
        for row in rows
    ]


def load(item: OpenItem) -> Sample:
    """One sequence in metres, right-handed, y up; in image layouts as it is.

    Raises:
        DataError: the file of its joints or its repetitions break a rule.
    """
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
    path = inside(root, SPLITS)
    known = set(index["sample_id"].to_pylist())
    found = []
    for name, rows in read_splits(path).items():
        parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
        for where, sample_id, part in rows:
            if sample_id not in known:
                remedy = f"correct the name or remove the row; the names are those of {SEQUENCES}"
                raise DataError(where=where, rule=f"there is no sequence {sample_id!r}", remedy=remedy)
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
    card = read_card(inside(root, CARD))
    return Reader(card=card.manifest_card(), layout=card.layout, find=find, load=load, splits=splits)


def check_root(root: Path) -> None:
    """Raise unless the path is a folder; archives are named as such, because nothing here unpacks any.

    Raises:
        DataError: a file, or nothing.
    """
    if root.is_dir():
        return
    rule, remedy = "no such folder", "name the folder that holds dataset.json"
    if root.is_file():
        rule = "a file, where a folder is expected"
        with root.open("rb") as file:
            if file.read(6).startswith(_ARCHIVES) or ".tar" in root.suffixes:
                rule, remedy = "an archive, which is not unpacked here", "unpack it yourself and name the folder"
    raise DataError(where=str(root), rule=rule, remedy=remedy)


def _has(root: Path, name: str) -> bool:
    return (root / name).exists() or (root / name).is_symlink()


def inside(root: Path, name: str) -> Path:
    """A file of the folder.

    Raises:
        DataError: it is a link that leads out of the folder, or nowhere.
    """
    path = root / name
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # links that lead to each other
        raise DataError(where=str(path), rule="a link that leads nowhere", remedy="put the file itself there") from None
    if not target.is_relative_to(root.resolve()):
        raise DataError(
            where=str(path), rule=f"a link to {target}, outside the folder", remedy="put the file itself there"
        )
    return path


def _joint_files(root: Path) -> dict[str, list[Path]]:
    """The files of the folder joints by their normal name: disks differ in how they write accented letters."""
    folder = inside(root, JOINTS)
    if not folder.is_dir():
        raise DataError(where=str(folder), rule="no such folder", remedy="put ID.npz or ID.csv there, one per sequence")
    found: dict[str, list[Path]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".npz", ".csv")):
                path = inside(root, f"{JOINTS}/{entry.name}") if entry.is_symlink() else Path(entry.path)
                if entry.is_file():
                    found.setdefault(_normal(entry.name[:-4]), []).append(path)
    return found


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _file_of(root: Path, row: Row, files: dict[str, list[Path]]) -> Path:
    found = files.get(_normal(row.sample_id), [])
    if len(found) == 1:
        return found[0]
    where = str(root / JOINTS / row.sample_id)
    if found:
        raise DataError(where=where, rule="both .npz and .csv are there", remedy="keep one of the two")
    rule = f"{SEQUENCES} names it, but there is neither {row.sample_id}.npz nor {row.sample_id}.csv"
    raise DataError(where=where, rule=rule, remedy=f"put the file there or remove the row from {SEQUENCES}")


def _texts(root: Path, rows: Sequence[Row], keys: int) -> dict[str, Texts]:
    """Texts of every action. Without captions.csv the name is the caption, and standards are called key1, key2, ..."""
    names = {row.action_id: row.action for row in rows}
    if not _has(root, CAPTIONS):
        standards = tuple(f"key{number}" for number in range(1, keys + 1))
        return {action_id: Texts((action, action, action), standards) for action_id, action in names.items()}
    path = inside(root, CAPTIONS)
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
            rule = f"[{start}, {end}) of {name} is empty (its end is exclusive)"
        elif start < ahead:
            rule = f"[{start}, {end}) of {name} starts before the repetition ahead of it ends, at {ahead}"
        elif len(scored) > 1 and not repetition.keys:
            rule = f"{name} has key scores in some rows and none here"
        if rule:
            raise DataError(where=f"{table}, row {repetition.row}", rule=rule, remedy="correct the row")
        ahead = end
    bounds = [(repetition.start, repetition.end) for repetition in item.repetitions]
    reps_R2 = np.array(bounds, np.int32).reshape(-1, 2)
    if not item.repetitions or scored == {0}:
        return reps_R2, None
    return reps_R2, np.array([repetition.keys for repetition in item.repetitions], np.int8)
