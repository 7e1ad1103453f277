"""Skeletons that were released as pickles for action recognition (Table 12), from the open folders they are converted to.

`flag3d data convert ntu60_hrnet.pkl FOLDER --dataset ntu60_2d` writes the folder; the readers here add what the names of
the recordings carry: people, cameras, scenes, avatars, takes.

    FLAG3D rendered, mocap   S001C002M003P004A005R001    scene, camera, avatar, performer, action, take
    FLAG3D natural           PLAY_A001_V001_R001_S001    performer, action, view, take, scene
    NTU RGB+D                S001C002P003R002A013        setup, camera, performer, take, action
    FineGym                  11 characters of a video, then event and action: 0LtLS9wROrk_E_005787_005866_A_0075_0078
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from flag3d_ray.data import lexicon
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers import ntu60, open_format
from flag3d_ray.data.readers.open_format import OpenItem
from flag3d_ray.data.readers.open_format_tables import OpenCard, Texts
from flag3d_ray.data.recognition_splits import rendered_to_natural
from flag3d_ray.data.splits import Split
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import COCO17_SCORED, NTU25

_RENDERED = re.compile(
    r"S(?P<scene>\d{3})C(?P<view>\d{3})M(?P<avatar>\d{3})P(?P<subject>\d{3})A(?P<action>\d{3})R(?P<take>\d{3})"
)
_NATURAL = re.compile(r"(?P<subject>[A-Za-z]+)_A(?P<action>\d{3})_V(?P<view>\d{3})_R(?P<take>\d{3})_S(?P<scene>\d{3})")
_VIDEO = re.compile(r"(?P<video>.{11})_.+")
_FLAG3D_ACTIONS = tuple(lexicon.captions(action_id)[0] for action_id in lexicon.activity_ids())
_FLAG3D = "Tang et al.: FLAG3D: A 3D Fitness Activity Dataset with Language Instruction. CVPR 2023"
_DUAN = "skeletons: Duan et al.: Revisiting Skeleton-based Action Recognition. CVPR 2022 (pyskl)"


@dataclass(frozen=True, kw_only=True)
class Release:
    """A dataset that is released as one pickle.

    Attributes:
        card: what its pickle does not say; the converter writes it into the folder.
        actions: the classes in words, in the order of the labels; empty where the reader or a person supplies them.
        named: what a recording's name adds to its row and texts. Raises DataError where the name does not fit.
        splits: like those of a reader.
    """

    card: OpenCard
    named: Callable[[OpenItem], OpenItem]
    splits: Callable[[Path, pa.Table], Sequence[Split]] = open_format.splits
    actions: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Under which it is converted and read."""
        return self.card.name

    @property
    def reader(self) -> Reader[OpenItem]:
        """The reader of its converted folder."""
        return Reader(
            card=self.card.manifest_card(),
            layout=self.card.layout,
            find=partial(_find, self),
            load=open_format.load,
            splits=self.splits,
        )


def release(name: str) -> Release:
    """The release of that name.

    Raises:
        DataError: there is none; the message lists those that exist.
    """
    for known in RELEASES:
        if known.name == name:
            return known
    remedy = f"choose one of {', '.join(known.name for known in RELEASES)}, or none and fill in dataset.json"
    raise DataError(where=f"dataset {name!r}", rule="not a release that is known", remedy=remedy)


def _find(release: Release, root: Path) -> Sequence[OpenItem]:
    items = open_format.find(root)
    if items[0].card.layout != release.card.layout:
        rule = f"joints of layout {items[0].card.layout}, {release.name} has {release.card.layout}"
        raise DataError(where=str(root), rule=rule, remedy="name the folder, or the dataset, that belong together")
    return [release.named(item) for item in items]


def _flag3d(source: str, item: OpenItem) -> OpenItem:
    """A rendered (or mocap: `source` lab) or natural recording; texts and body part are the lexicon's."""
    rendered, natural = _RENDERED.fullmatch(item.row.sample_id), _NATURAL.fullmatch(item.row.sample_id)
    found = rendered or natural
    if found is None:
        raise _misnamed(item, "S001C002M003P004A005R001 or PLAY_A001_V001_R001_S001")
    action_id = _same_action(item, int(found["action"]))
    row = replace(
        item.row,
        action_id=action_id,
        action=lexicon.captions(action_id)[0],
        subject=f"P{found['subject']}" if rendered else found["subject"],
        source=source if rendered else "natural",
        view=f"C{found['view']}" if rendered else f"V{found['view']}",
        scene=f"S{found['scene']}",
        avatar=f"M{rendered['avatar']}" if rendered else "",
        body_part=lexicon.body_part(action_id),
        take=int(found["take"]),
    )
    return replace(item, row=row, texts=Texts(lexicon.captions(action_id), ()))


def _ntu60(item: OpenItem) -> OpenItem:
    name = ntu60.parse_name(item.row.sample_id)
    if name is None:
        raise _misnamed(item, "S001C002P003R002A013 with an action up to A060")
    _same_action(item, int(name.action_id[1:]))
    row = replace(
        item.row,
        action_id=name.action_id,
        action=name.action,
        subject=name.subject,
        view=name.camera,
        scene=name.setup,
        take=name.take,
    )
    return replace(item, row=row, texts=Texts((name.action, name.action, name.action), ()))


def _finegym(item: OpenItem) -> OpenItem:
    """The video stands where scenes stand: its clips share a gymnast and a camera."""
    found = _VIDEO.fullmatch(item.row.sample_id)
    if found is None:
        raise _misnamed(item, "0LtLS9wROrk_E_005787_005866_A_0075_0078")
    return replace(item, row=replace(item.row, scene=found["video"], source="natural"))


def _flag3d_2d_splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """Table 12's protocol where rendered and natural recordings are there, otherwise what the folder has."""
    if set(index["source"].to_pylist()) == {"rendered", "natural"}:
        return [rendered_to_natural(index)]
    return open_format.splits(root, index)


def _finegym_splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """As released; whole videos are held out for validation, because nothing says who performs."""
    column = index.column_names.index("subject")
    videos = [name[:11] for name in index["sample_id"].to_pylist()]
    return open_format.splits(root, index.set_column(column, "subject", pa.array(videos, pa.string())))


def _same_action(item: OpenItem, action: int) -> str:
    """The action of the name, which must be the pickle's label (counted from 0)."""
    if item.row.action_id != f"C{action - 1:03d}" or not 1 <= action <= 60:
        rule = f"the name says action {action}, the label is {item.row.action_id} (C000 is action 1)"
        raise DataError(where=item.row.sample_id, rule=rule, remedy="convert the released pickle again")
    return f"A{action:03d}"


def _misnamed(item: OpenItem, example: str) -> DataError:
    remedy = "name the dataset to which the folder belongs, or read it as an open folder"
    return DataError(where=item.row.sample_id, rule=f"the name is not like {example}", remedy=remedy)


FLAG3D_2D = Release(
    card=OpenCard(
        name="flag3d_2d",
        description="FLAG3D, 2D: 60 fitness activities, rendered (train) and filmed with phones (test); HRNet joints.",
        limits="Detected joints with scores. 30 frames per second is the paper's for rendered videos and assumed for "
        "natural ones. Rendered takes repeat 1800 motions with other avatars and cameras. Descriptions are this project's.",
        licence="the dataset's own agreement (License_FLAG3D.pdf in its repository): research",
        citation=_FLAG3D,
        layout=COCO17_SCORED.name,
        unit="px",
        fps=30.0,
    ),
    named=partial(_flag3d, "rendered"),
    actions=_FLAG3D_ACTIONS,
    splits=_flag3d_2d_splits,
)
FLAG3D_3D = Release(
    card=OpenCard(
        name="flag3d_3d",
        description="FLAG3D, 3D, conference release: 60 fitness activities, motion capture in the 25 joints of NTU RGB+D.",
        limits="The release turns every sequence so that the first frame's spine is z and its shoulders x, root at the "
        "origin. It says nothing of its axes: left-handed follows from hands that are in front of the body. Avatars of one "
        "motion are not independent. Descriptions are this project's.",
        licence=FLAG3D_2D.card.licence,
        citation=_FLAG3D,
        layout=NTU25.name,
        unit="m",
        up="z",
        handedness="left",
        fps=30.0,
    ),
    named=partial(_flag3d, "lab"),
    actions=_FLAG3D_ACTIONS,
)
NTU60_2D = Release(
    card=OpenCard(
        name="ntu60_2d",
        description="NTU RGB+D 60, 2D: joints that HRNet detects in the videos, as pyskl releases them; up to two persons.",
        limits="Detected joints with scores. Captions are the names of the actions.",
        licence=ntu60.CARD.licence,
        citation=f"{ntu60.CARD.citation}; {_DUAN}",
        layout=COCO17_SCORED.name,
        unit="px",
        fps=ntu60.FPS,
    ),
    named=_ntu60,
    actions=ntu60.actions(),
)
NTU60_3D = Release(
    card=OpenCard(
        name="ntu60_3d",
        description="NTU RGB+D 60, 3D: Kinect joints, cleaned as pyskl does it; up to two persons, zeros where one is away.",
        limits="Half precision: steps of 2 to 4 mm at the usual distances. Bodies are chosen and noise is cut by pyskl's "
        "rules, which are not those of the raw reader. Captions are the names of the actions.",
        licence=ntu60.CARD.licence,
        citation=f"{ntu60.CARD.citation}; {_DUAN}",
        layout=NTU25.name,
        unit="m",
        up="y",
        handedness="right",
        fps=ntu60.FPS,
    ),
    named=_ntu60,
    actions=ntu60.actions(),
)
FINEGYM99 = Release(
    card=OpenCard(
        name="finegym99",
        description="FineGym, 99 classes of gymnastic elements: HRNet joints in the athlete's annotated box.",
        limits="Classes are uneven: published accuracies are means over classes as often as over clips, so report both. "
        "Boxes are ground truth, not detections. The frame rate is assumed. Performers are unknown.",
        licence="FineGym's: annotations CC BY-NC 4.0, videos by their owners",
        citation=f"Shao, Zhao, Dai and Lin: FineGym. CVPR 2020; {_DUAN}",
        layout=COCO17_SCORED.name,
        unit="px",
        fps=30.0,
    ),
    named=_finegym,
    splits=_finegym_splits,
)
RELEASES = (FLAG3D_2D, FLAG3D_3D, NTU60_2D, NTU60_3D, FINEGYM99)
