"""RepCountA (Hu et al., CVPR 2022): videos of exercises with every repetition marked, and skeletons of one's own.

    annotation/train.csv, valid.csv, test.csv   as released: type, name, count, L1, L2, L3, ... (video frames)
    dataset.json                                the card of the skeletons, that of an open folder
    skeleton/train/NAME.npz, ...                beside the videos: `joints`, floating point [T, V, C], one frame per video
                                                frame [, `fps`, where the card has none] [, `image_hw`, in pixels]
    left_out.csv                                optional: sample_id [, reason], videos that are left out

L1 and L2 are the first and the last frame of the first repetition, L3 and L4 of the second. A repetition often begins in
the frame in which the one ahead ends, so ends are read as exclusive. Where videos of one type are spelled in several
ways (`squant`), `SPELLINGS` says what is meant.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
import pyarrow as pa
from jaxtyping import Int32

from flag3d_ray.data import lexicon
from flag3d_ray.data.exclusions import read_exclusions
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.files_in import (
    check_root,
    contained,
    csv_rows,
    integer,
    intervals,
    listed,
    load_npz,
    normal,
    stems,
    to_joints,
)
from flag3d_ray.data.readers.open_format_joints import UNITS, to_y_up
from flag3d_ray.data.readers.open_format_tables import CARD, OpenCard, read_card
from flag3d_ray.data.recognition_splits import UNKNOWN
from flag3d_ray.data.splits import PARTS, Split
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout

DESCRIPTION = "RepCountA (Hu et al. 2022): videos of nine exercises and some others, every repetition marked."
TABLES, SKELETONS, LEFT_OUT = "annotation", "skeleton", "left_out.csv"
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "battle_rope": (),
    "bench_pressing": ("benchpressing",),
    "front_raise": ("frontraise",),
    "jump_jack": ("jumpjacks",),
    "pommelhorse": (),
    "pull_up": ("pullups",),
    "push_up": ("pushups",),
    "situp": (),
    "squat": ("squant",),
    "others": (),
}
"""Type -> how the tables spell it besides; in the order of `lexicon.repcount_ids`."""

_MEANT = {
    word: action_id
    for action_id, (name, others) in zip(lexicon.repcount_ids(), SPELLINGS.items(), strict=True)
    for word in (name, *others)
}
_CORRECT = f"correct the row, or name the video in {LEFT_OUT}"


@dataclass(frozen=True)
class Item:
    """One video that has a skeleton: what its row says, as text, and the file of its joints.

    `twin` is the place of another row of the same name.
    """

    path: Path
    where: str
    name: str
    kind: str
    count: str
    bounds: tuple[str, ...]
    card: OpenCard
    twin: str


@dataclass(frozen=True)
class Omitted:
    """One video that is left out, and why."""

    where: str
    name: str
    reason: str


def reader(root: Path) -> Reader[Item]:
    """The reader of a copy: its card and layout are those of the skeletons in it, with what is left out.

    Raises:
        DataError: see `find`.
    """
    card = _skeleton_card(root)
    return Reader(card=_card(card, omitted(root)), layout=card.layout, find=find, load=load, splits=splits)


def find(root: Path) -> Sequence[Item]:
    """The videos to read, in the order of the tables train, valid and test.

    Left out are videos without a file of joints, videos without any repetition, and those that left_out.csv names.

    Raises:
        DataError: no folder, no card, no table or a broken one, a name that is a path, a name in left_out.csv that no
            table has, a link out of the folder, or no video is left.
    """
    found = [row for row in _rows(root) if isinstance(row, Item)]
    if not found:
        rule = f"no video of {TABLES} has a file {SKELETONS}/PART/NAME.npz"
        raise DataError(where=str(root), rule=rule, remedy="extract skeletons and put them there (docs/data.md)")
    places: dict[str, list[str]] = {}
    for item in found:
        places.setdefault(item.name, []).append(item.where)
    return [replace(item, twin=next((at for at in places[item.name] if at != item.where), "")) for item in found]


def omitted(root: Path) -> Sequence[Omitted]:
    """The videos that are left out, each with its reason, in the order of the tables.

    Raises:
        DataError: see `find`.
    """
    return [row for row in _rows(root) if isinstance(row, Omitted)]


def load(item: Item) -> Sample:
    """One video's skeleton: in the card's layout, metres, right-handed, y up; pixels stay pixels.

    Raises:
        DataError: the name stands in two rows, the type is unknown, the labels contradict each other or the length of
            the video, or the joints break a rule.
    """
    if item.twin:
        rule = f"{item.name} stands in {item.twin} too: a leak, or two videos of one name"
        raise DataError(where=item.where, rule=rule, remedy="keep one of the two rows")
    action_id = _MEANT.get(item.kind.lower())
    if action_id is None:
        rule, remedy = f"type {item.kind[:40]!r} is unknown", f"write one of {', '.join(SPELLINGS)}"
        raise DataError(where=item.where, rule=rule, remedy=remedy)
    skeleton, image = layout(item.card.layout), item.card.unit == "px"
    wanted = {"joints": (("T", len(skeleton), skeleton.channels), "f")}
    wanted |= {} if item.card.fps else {"fps": ((), "fiu")}
    wanted |= {"image_hw": ((2,), "iu")} if image else {}
    arrays = load_npz(item.path, wanted)
    joints_TVC = to_joints(item.path, arrays["joints"], skeleton)
    if not image:
        joints_TVC = to_y_up(joints_TVC * np.float32(UNITS[item.card.unit]), item.card.up, item.card.handedness)
    captions = lexicon.captions(action_id)
    return Sample(
        sample_id=item.name,
        dataset="repcount_a",
        source="natural",
        action_id=action_id,
        action=captions[0],
        body_part="",
        subject=UNKNOWN,
        take=1,
        fps=item.card.fps or _fps(item.path, float(arrays["fps"])),
        layout=skeleton.name,
        unit="px" if image else "m",
        captions=captions,
        standards=tuple(standard.text for standard in lexicon.standards(action_id)),
        joints_MTVC=joints_TVC[None],
        reps_R2=_repetitions(item, len(joints_TVC)),
        image_hw=(int(arrays["image_hw"][0]), int(arrays["image_hw"][1])) if image else None,
    )


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """The official one: the tables train, valid and test."""
    known = set(index["sample_id"].to_pylist())
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for item in find(root):
        if item.name in known:
            parts[item.path.parent.name].append(item.name)
    train, valid, test = (tuple(sorted(parts[part])) for part in PARTS)
    rule = f"the released tables train, valid and test; {_summary(omitted(root))}"
    return [Split(name="released", by="sample_id", rule=rule, seed=0, train=train, valid=valid, test=test)]


def _rows(root: Path) -> Iterator[Item | Omitted]:
    """Every row of the tables, as what is read of it or as what is left out."""
    card = _skeleton_card(root)
    tables = [contained(root, root / TABLES / f"{part}.csv") for part in PARTS]
    if not any(table.is_file() for table in tables):
        rule = f"no {', '.join(f'{part}.csv' for part in PARTS)} in its folder {TABLES}"
        raise DataError(where=str(root), rule=rule, remedy="point at the folder in which the released tables lie")
    left_out = contained(root, root / LEFT_OUT)
    reasons = {normal(name): why for name, why in read_exclusions(left_out).rows} if left_out.is_file() else {}
    unseen = set(reasons)
    for table in filter(Path.is_file, tables):
        files = stems(listed(root, f"{SKELETONS}/{table.stem}/*.npz"))
        for number, cells in csv_rows(table, ("type", "name", "count", "L1", "L2")):
            where = f"{table}, row {number}"
            name, bounds = _name(where, cells["name"]), _bounds(cells)
            unseen.discard(name)
            if name in reasons:
                yield Omitted(where, name, f"{LEFT_OUT}: {reasons[name] or 'no reason given'}")
            elif not bounds and cells["count"] in ("", "0", "0.0"):
                yield Omitted(where, name, "no repetition")
            elif name not in files:
                yield Omitted(where, name, "no skeleton")
            else:
                yield Item(files[name], where, name, cells["type"], cells["count"], bounds, card, "")
    if unseen:
        rule = f"names videos that stand in no table: {', '.join(sorted(unseen)[:5])}"
        raise DataError(where=str(left_out), rule=rule, remedy="write the names of videos without their suffix")


def _name(where: str, video: str) -> str:
    """A video's name without its suffix."""
    if not video or PurePath(video).name != video or "\\" in video:
        raise DataError(where=where, rule=f"name is {video[:60]!r}", remedy="write the name of a video, without a path")
    return normal(PurePath(video).stem)


def _bounds(cells: Mapping[str, str]) -> tuple[str, ...]:
    """The cells of L1, L2, ... up to the last that is filled."""
    values = []
    while (text := cells.get(f"L{len(values) + 1}")) is not None:
        values.append(text)
    while values and not values[-1]:
        values.pop()
    return tuple(values)


def _fps(path: Path, fps: float) -> float:
    if 0 < fps < 1e6:
        return fps
    raise DataError(where=str(path), rule=f"fps is {fps:g}", remedy="save the frames per second of the video")


def _repetitions(item: Item, frames: int) -> Int32[np.ndarray, "R 2"]:
    values = [
        integer(item.where, {f"L{number}": text}, f"L{number}") for number, text in enumerate(item.bounds, start=1)
    ]
    count = integer(item.where, {"count": item.count}, "count")
    if len(values) % 2 or len(values) != 2 * count:
        rule = f"count is {count}, but there are {len(values)} values from L1 on: {2 * count} are expected"
        raise DataError(where=item.where, rule=rule, remedy=_CORRECT)
    pairs = zip(values[::2], values[1::2], strict=True)
    return intervals([(item.where, start, end) for start, end in pairs], frames, _CORRECT)


def _skeleton_card(root: Path) -> OpenCard:
    check_root(root)
    return read_card(contained(root, root / CARD))


def _card(skeletons: OpenCard, left_out: Sequence[Omitted]) -> Card:
    own = skeletons.manifest_card()
    return replace(
        own,
        description=f"{DESCRIPTION} Skeletons: {own.description}",
        limits=f"{_summary(left_out)}. The paper's filtered test set (113 of 152 videos) is not published. Performers are "
        f"unknown. Captions and standards are this project's own words. Skeletons: {own.limits}",
        licence=f"RepCountA: the dataset's own terms, videos by their owners. Skeletons: {own.licence}",
        citation="Hu et al.: TransRAC: Encoding Multi-scale Temporal Correlation with Transformers for Repetitive Action "
        f"Counting. CVPR 2022{'; ' if own.citation else ''}{own.citation}",
    )


def _summary(left_out: Sequence[Omitted]) -> str:
    """`3 videos left out (2 no skeleton, 1 no repetition)`."""
    reasons = Counter(row.reason.split(":")[0] for row in left_out)
    said = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return f"{len(left_out)} videos left out ({said})" if left_out else "no video left out"
