"""NTU RGB+D 60 (Shahroudy et al., CVPR 2016): raw Kinect v2 skeletons, one text file `SsssCcccPpppRrrrAaaa.skeleton` each.

    frames
    per frame   number of bodies
    per body    its id and nine states; 25; 25 lines of 12 numbers, the first three x, y, z

Up to two bodies are kept, those that the dataset's authors advise: of all bodies the two with the largest sum of the
variances of x, y and z over all joints and all frames in which a body is seen. A body that is away is zeros.
"""

import functools
import importlib.resources
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float32

from flag3d_ray.data.manifest import Card
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.files_in import check_root, contained
from flag3d_ray.data.recognition_splits import by_subjects, by_views
from flag3d_ray.data.splits import Split, split_all_test
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import NTU25

FPS = 30.0
PERSONS = 2
MOST_BYTES = 64 << 20
"""A recording is some 300 frames and 5 MB; a file beyond this is something else and is not read."""
XSUB_TRAIN = tuple(f"P{n:03d}" for n in (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
"""The twenty training subjects of X-Sub, as the paper lists them."""
XVIEW_TEST = ("C001",)
"""The test camera of X-View; 2 and 3 train."""

CARD = Card(
    description="NTU RGB+D 60 (Shahroudy et al. 2016): 60 everyday and two-person actions, 40 people, 3 cameras, Kinect v2.",
    limits="Up to two bodies per recording, chosen by spread of motion: a chair may be one of them. The 302 recordings with "
    "missing skeletons are left out. Captions are the names of the actions. Joints are the sensor's estimates.",
    licence="academic research only, by agreement with the ROSE Lab; no redistribution",
    unit="m",
    fps="30",
    axes="right-handed, y up; the camera's frame (x to the camera's left, z away from it)",
    citation="Shahroudy, Liu, Ng and Wang: NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis. CVPR 2016",
)

_NAME = re.compile(r"S(?P<setup>\d{3})C(?P<camera>\d{3})P(?P<subject>\d{3})R(?P<take>\d{3})A(?P<action>\d{3})")
_FIELDS, _STATES = 12, 10
_REMEDY = "copy the file again from the release, or move it out of the folder"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Name:
    """What a recording's name says: setup S001, camera C001, performer P001, take 1 or 2, action A001."""

    setup: str
    camera: str
    subject: str
    take: int
    action_id: str

    @property
    def action(self) -> str:
        """The action in words."""
        return actions()[int(self.action_id[1:]) - 1]


def parse_name(name: str) -> Name | None:
    """The parts of a name like S001C002P003R002A013; None where it is another or an action beyond the sixtieth."""
    found = _NAME.fullmatch(name)
    if found is None or not 1 <= int(found["action"]) <= 60:
        return None
    setup, camera, subject = f"S{found['setup']}", f"C{found['camera']}", f"P{found['subject']}"
    return Name(setup, camera, subject, int(found["take"]), f"A{found['action']}")


def actions() -> tuple[str, ...]:
    """The sixty actions in words, in order, as the dataset names them."""
    return _facts()["actions"]


def missing_skeletons() -> frozenset[str]:
    """The 302 recordings that the dataset's authors ask to ignore, because skeletons are missing or incomplete."""
    return frozenset(_facts()["missing"])


@functools.cache
def _facts() -> dict[str, tuple[str, ...]]:
    text = importlib.resources.files("flag3d_ray.data.readers").joinpath("ntu60.json").read_text(encoding="utf-8")
    return {key: tuple(values) for key, values in json.loads(text).items()}


def find(root: Path) -> Sequence[Path]:
    """The recordings in `root`, by name; those with missing skeletons and those of NTU RGB+D 120 are left out.

    Raises:
        DataError: an archive, no folder, no recording, or a recording that is a link out of the folder.
    """
    check_root(root)
    names = sorted(path.stem for path in root.glob("*.skeleton") if path.is_file())
    wanted = [name for name in names if parse_name(name) is not None]
    kept = [name for name in wanted if name not in missing_skeletons()]
    if not kept:
        rule = f"{len(names)} files *.skeleton, none named like S001C002P003R002A013.skeleton with an action up to A060"
        raise DataError(where=str(root), rule=rule, remedy="point at the folder nturgb+d_skeletons of the release")
    if len(kept) < len(names):
        incomplete = len(wanted) - len(kept)
        _log.info("%s: left out %d with missing skeletons, %d others", root, incomplete, len(names) - len(wanted))
    return [contained(root, root / f"{name}.skeleton") for name in kept]


def load(path: Path) -> Sample:
    """One recording: layout ntu25, metres, y up, one or two persons.

    Raises:
        DataError: the file breaks the format, with the line; no body in any frame; numbers that are not finite.
    """
    name = parse_name(path.stem)
    if name is None:
        raise DataError(where=str(path), rule="the name is not like S001C002P003R002A013.skeleton", remedy=_REMEDY)
    frames, bodies = read_bodies(path)
    if not bodies:
        raise DataError(where=str(path), rule=f"no body in any of its {frames} frames", remedy=_REMEDY)
    return Sample(
        sample_id=path.stem,
        dataset="ntu60",
        source="lab",
        action_id=name.action_id,
        action=name.action,
        body_part="",
        subject=name.subject,
        take=name.take,
        fps=FPS,
        layout=NTU25.name,
        unit="m",
        captions=(name.action, name.action, name.action),
        standards=(),
        joints_MTVC=most_moving(frames, bodies),
        reps_R2=np.empty((0, 2), np.int32),
        view=name.camera,
        scene=name.setup,
    )


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """X-Sub and X-View, each with subjects of its training side held out for validation; in part copies what is possible."""
    draws: list[Callable[[], Split]] = [
        lambda: by_subjects(index, XSUB_TRAIN, name="xsub", rule="the paper's twenty training subjects"),
        lambda: by_views(index, XVIEW_TEST, name="xview", rule="cameras 2 and 3 train, camera 1 tests"),
    ]
    found = []
    for draw in draws:
        try:
            found.append(draw())
        except DataError as error:
            _log.warning("%s is left out", error)
    return found or [split_all_test(index["action_id"].to_pylist())]


@dataclass(frozen=True, eq=False)
class Body:
    """A tracked body: the frames in which it is seen, and its joints there."""

    frames: list[int]
    joints_TVC: Float[np.ndarray, "T 25 3"]

    @property
    def energy(self) -> float:
        """Sum of the variances of x, y and z over joints and frames, in square metres."""
        return float(self.joints_TVC.reshape(-1, 3).var(axis=0).sum())


def read_bodies(path: Path) -> tuple[int, dict[str, Body]]:
    """Number of frames, and the bodies by the sensor's id (text: it has more digits than a float).

    Raises:
        DataError: the file breaks the format; names the line.
    """
    lines = _Lines(path)
    frames = lines.number("number of frames")
    seen: dict[str, dict[int, list[list[float]]]] = {}
    for frame in range(frames):
        for _ in range(lines.number("number of bodies")):
            body = lines.fields(_STATES, "states of a body")[0]
            if (joints := lines.number("number of joints")) != len(NTU25):
                raise lines.broken(f"{joints} joints, 25 are expected")
            seen.setdefault(body, {})[frame] = [lines.position() for _ in range(joints)]
    lines.finish()
    if not frames:
        raise lines.broken("no frames")
    bodies = {name: Body(list(found), np.array(list(found.values()))) for name, found in seen.items()}
    for body in bodies.values():
        if not np.isfinite(body.joints_TVC).all():
            bad = int(np.argwhere(~np.isfinite(body.joints_TVC))[0, 0])
            raise DataError(where=str(path), rule=f"NaN or infinity in frame {body.frames[bad]}", remedy=_REMEDY)
    return frames, bodies


def most_moving(frames: int, bodies: dict[str, Body]) -> Float32[np.ndarray, "M T 25 3"]:
    """The joints of up to two bodies, the one with more energy first, zeros where a body is not seen."""
    chosen = sorted(bodies.items(), key=lambda item: (-item[1].energy, item[0]))[:PERSONS]
    joints_MTVC = np.zeros((len(chosen), frames, len(NTU25), 3), np.float32)
    for person, (_, body) in enumerate(chosen):
        joints_MTVC[person, body.frames] = body.joints_TVC
    return joints_MTVC


class _Lines:
    """A file's lines, taken one after the other; errors name the line at hand."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        if (size := path.stat().st_size) > MOST_BYTES:
            raise DataError(where=str(path), rule=f"{size} bytes, more than any recording has", remedy=_REMEDY)
        try:
            self._lines = path.read_text(encoding="ascii").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(where=str(path), rule=f"not a text file ({error})", remedy=_REMEDY) from None
        self._next: Iterator[str] = iter(self._lines)

    def broken(self, rule: str) -> DataError:
        return DataError(where=f"{self._path}, line {self._at}", rule=rule, remedy=_REMEDY)

    def fields(self, number: int, what: str) -> list[str]:
        self._at += 1
        found = next(self._next, "").split()
        if len(found) != number:
            raise self.broken(f"{what}: {len(found)} values, {number} are expected (the file may be cut off)")
        return found

    def number(self, what: str) -> int:
        (text,) = self.fields(1, what)
        if not text.isdecimal() or len(text) > 6:
            raise self.broken(f"{what} is {text[:20]!r}")
        return int(text)

    def position(self) -> list[float]:
        texts = self.fields(_FIELDS, "a joint")
        try:
            return [float(text) for text in texts[:3]]
        except ValueError:
            raise self.broken(f"a joint at {' '.join(texts[:3])[:60]}") from None

    def finish(self) -> None:
        if rest := sum(1 for line in self._next if line.strip()):
            raise self.broken(f"{rest} lines follow after the last frame")


READER = Reader(card=CARD, layout=NTU25.name, find=find, load=load, splits=splits)
