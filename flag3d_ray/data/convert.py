"""Pickles of pose annotations into the open folder: data that anybody can read, without a pickle."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flag3d_ray.data.pickled_annotations import Annotation, Contents, broken, open_pickle
from flag3d_ray.data.readers.open_format_joints import is_image
from flag3d_ray.data.readers.open_format_tables import OpenCard, Row
from flag3d_ray.data.readers.open_format_write import OpenSequence, write_open
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import COCO17, COCO17_SCORED, LAYOUTS, NTU25, Layout, layout

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it and out of how much: bytes read, then sequences written."""

_LAYOUTS = {(len(known), known.channels): known.name for known in (COCO17, COCO17_SCORED, NTU25)}
_SPLIT_NAME = re.compile(r"(?P<before>.*?)_?(?P<part>train|valid|val|test)_?(?P<after>\d*)", re.IGNORECASE)


@dataclass(kw_only=True)
class Summary:
    """What a conversion found.

    Attributes:
        sequences: how many were written.
        layout: their joint layout.
        classes: the labels that occur.
        splits: split -> part -> number of sequences.
        missing: what a person has to fill into `dataset.json` before it can be read.
        notes: sentences about what was left out or looks odd.
    """

    sequences: int = 0
    layout: str = ""
    classes: set[int] = field(default_factory=set)
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert(
    source: Path,
    target: Path,
    *,
    card: OpenCard | None = None,
    actions: Sequence[str] = (),
    progress: Progress | None = None,
) -> Summary:
    """Convert one pickle into an open folder, which appears whole or not at all.

    Joints, axes and unit stay as they are: `card` declares them. Sequences are named by `frame_dir`, actions C000, C001,
    ... by their label; views, people and the like, where names carry them, are the readers' (`readers/pyskl.py`).

    Args:
        card: what is known of the dataset; what is left empty is listed in `Summary.missing`, to be filled in by hand.
            The layout is found from the joints where it is empty.
        actions: names of the classes, in order.

    Raises:
        DataError: see `open_pickle`; also other joints than those of the layout, a label without a name, the target
            exists, a name that is no file name.
    """
    reading = None if progress is None else partial(progress, "reading")
    with open_pickle(source, reading) as contents:
        first = next(contents.annotations, None)
        if first is None:
            raise broken(source, "it holds no annotations")
        card = _completed(source, card or OpenCard(), first, target.name)
        summary = Summary(layout=card.layout, missing=[*card.missing(), *([] if card.fps else ["fps"])])
        splits = _splits(contents, summary)
        annotations = itertools.chain([first], contents.annotations)
        sequences = _noted(_checked(source, annotations, layout(card.layout), actions), summary)
        told = _told(sequences, len(contents.names), progress)
        summary.sequences = write_open(target, told, card, splits)
    return summary


def _completed(source: Path, card: OpenCard, first: Annotation, name: str) -> OpenCard:
    """The card with the layout that fits the joints, where it names none."""
    joints, channels = first.keypoint_MTVC.shape[2:]
    channels += first.score_MTV is not None and channels == 2
    found = card.layout or _LAYOUTS.get((joints, channels), "")
    if not found:
        remedy = f"name one with --layout: {', '.join(known.name for known in LAYOUTS)}"
        rule = f"{joints} joints with {channels} channels: no layout is known for them"
        raise DataError(where=str(source), rule=rule, remedy=remedy)
    unit = card.unit or ("px" if is_image(layout(found)) else "")
    return replace(card, layout=layout(found).name, unit=unit, name=card.name or name)


def _checked(
    source: Path, annotations: Iterator[Annotation], skeleton: Layout, actions: Sequence[str]
) -> Iterator[tuple[Annotation, OpenSequence]]:
    for annotation in annotations:
        where, label = f"annotation {annotation.frame_dir}", annotation.label
        joints_MTVC = _joints(annotation, skeleton)
        if joints_MTVC.shape[2:] != (len(skeleton), skeleton.channels):
            found, wanted = list(joints_MTVC.shape[2:]), [len(skeleton), skeleton.channels]
            raise broken(source, f"{where}: joints and channels {found}, layout {skeleton.name} has {wanted}")
        if label < 0 or (actions and label >= len(actions)):
            raise broken(source, f"{where}: label {label}, and {len(actions) or 'no'} actions have names")
        row = Row(
            sample_id=annotation.frame_dir,
            action_id=f"C{label:03d}",
            action=actions[label] if actions else f"class {label}",
            subject="unknown",
            image_hw=annotation.image_hw,
        )
        yield annotation, OpenSequence(row=row, joints_MTVC=joints_MTVC)


def _joints(annotation: Annotation, skeleton: Layout) -> Float[np.ndarray, "M T V C"]:
    """Joints, with the scores beside pixels where the layout has a channel for them."""
    joints_MTVC, score_MTV = annotation.keypoint_MTVC, annotation.score_MTV
    if score_MTV is None or (skeleton.channels, joints_MTVC.shape[-1]) != (3, 2):
        return joints_MTVC
    return np.concatenate([joints_MTVC, score_MTV[..., None]], axis=-1)


def _noted(found: Iterator[tuple[Annotation, OpenSequence]], summary: Summary) -> Iterator[OpenSequence]:
    """The sequences; their classes and what looks odd in them goes into the summary."""
    lengths: list[str] = []
    not_finite: list[str] = []
    for annotation, sequence in found:
        summary.classes.add(annotation.label)
        if annotation.total_frames not in (None, sequence.joints_MTVC.shape[1]):
            lengths.append(annotation.frame_dir)
        if not np.isfinite(sequence.joints_MTVC).all():
            not_finite.append(annotation.frame_dir)
        yield sequence
    for names, words in (
        (lengths, "say another total_frames than they have joints for; the joints count"),
        (not_finite, "hold NaN or infinity and cannot be read until they leave sequences.csv"),
    ):
        if names:
            summary.notes.append(f"{len(names)} sequences {words}; first {names[0]!r}")


def _told(sequences: Iterator[OpenSequence], total: int, progress: Progress | None) -> Iterator[OpenSequence]:
    for number, sequence in enumerate(sequences, start=1):
        yield sequence
        if progress is not None:
            progress("writing", number, total)


def _splits(contents: Contents, summary: Summary) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Splits by name and part: xsub_train and xsub_val become xsub; train and val become `released`.

    What pyskl calls val is what results are reported on: it becomes test unless there is a test part beside it.
    """
    known = set(contents.names)
    found: dict[str, dict[str, list[str]]] = {}
    for name, members in contents.splits.items():
        match = _SPLIT_NAME.fullmatch(name)
        if match is None:
            summary.notes.append(f"split {name!r} is left out: its name says neither train nor val nor test")
            continue
        part = {"val": "valid"}.get(match["part"].lower(), match["part"].lower())
        there = [member for member in dict.fromkeys(members) if member in known]
        if absent := [member for member in members if member not in known]:
            summary.notes.append(f"split {name!r}: {len(absent)} names have no annotation; first {absent[0]!r}")
        found.setdefault(match["before"] + match["after"] or "released", {})[part] = there
    for name, parts in found.items():
        if "valid" in parts and "test" not in parts:
            parts["test"] = parts.pop("valid")
        if beside := known.difference(*parts.values()):
            summary.notes.append(f"split {name!r}: {len(beside)} sequences stand in no part; first {min(beside)!r}")
        summary.splits[name] = {part: len(members) for part, members in parts.items()}
    return found
