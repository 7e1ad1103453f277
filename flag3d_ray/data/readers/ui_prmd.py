"""UI-PRMD, Vicon part (Vakanski et al., Data 3(1):2, 2018): rehabilitation movements, done correctly or incorrectly.

One file per recording, `mMM_sSS_correct.npz` or `mMM_sSS_incorrect.npz`: `markers_tenth_mm` integers [T, 39, 3] (tenths
of a millimetre, z up, 50 Hz; drop-outs are exact zeros), `start` and `end` integers [R] (repetitions, end exclusive).
The 39 Plug-in-Gait markers lie on the skin; `joint_centres` says what becomes of them.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from flag3d_ray.data import lexicon
from flag3d_ray.data.findings import Finding
from flag3d_ray.data.manifest import Card
from flag3d_ray.data.marker_gaps import GapReport, fill
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.files_in import inside, load_npz
from flag3d_ray.data.splits import Split, split_by_named_action, split_by_person
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import FLAG3D24

FPS = 50.0
_ARM, _LEG = ("SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN"), ("THI", "KNE", "TIB", "ANK", "HEE", "TOE")
MARKERS = (
    *("LFHD", "RFHD", "LBHD", "RBHD", "C7", "T10", "CLAV", "STRN", "RBAK"),
    *(side + name for side in "LR" for name in _ARM),
    *("LASI", "RASI", "LPSI", "RPSI"),
    *(side + name for side in "LR" for name in _LEG),
)
KNEE_INWARD_M = 0.057
"""From the lateral knee marker to the joint: half of a 10 cm wide knee and a marker's radius of 7 mm."""
ANKLE_INWARD_M = 0.042
"""From the lateral ankle marker to the joint: half of a 7 cm wide ankle and a marker's radius."""
SHOULDER_DOWN_M = 0.05
"""From the marker on the acromion down the trunk to the joint."""

TEST, VALID = ("S06", "S07"), ("S05",)
# Drawn once: of the movements of the leg and of the shoulder one each is tested, another one of the leg selects.
TEST_MOVEMENTS, VALID_MOVEMENTS = ("M003", "M009"), ("M001",)
CARD = Card(
    description="UI-PRMD (Vakanski et al. 2018), Vicon: rehabilitation movements of ten repetitions, correct or incorrect.",
    limits="Healthy people; quality is one label per recording; no language comes with it, the captions are ours.",
    licence="PDDL 1.0",
    unit="m",
    fps="50",
    axes="right-handed, y up",
    citation="Vakanski et al.: A Data Set of Human Body Movements for Physical Rehabilitation Exercises. Data 3(1):2, 2018",
)

LONG_GAP = int(FPS)
"""Frames: beyond a second, one gap in twenty is filled more than 2 cm off."""

_ARRAYS = {"markers_tenth_mm": (("T", len(MARKERS), 3), "if"), "start": (("R",), "i"), "end": (("R",), "i")}
_COPY_AGAIN = "convert or copy this recording again, or move it out of the folder"
_CORRECT = "correct start and end, or move the recording out of the folder"
_FILE = re.compile(r"m(?P<movement>\d\d)_s(?P<subject>\d\d)_(?P<verdict>correct|incorrect)\.npz")
_METRES = 1e-4
_SHOULDER_MOVEMENTS = range(7, 11)  # 07 abduction, 08 extension, 09 internal-external rotation, 10 scaption
_log = logging.getLogger(__name__)


def find(root: Path) -> Sequence[Path]:
    """The recordings under `root`, by file name.

    Raises:
        DataError: there is none.
    """
    paths = sorted(path for path in root.glob("*.npz") if _FILE.fullmatch(path.name))
    if not paths:
        raise DataError(
            where=str(root),
            rule="no file is named like m01_s01_correct.npz",
            remedy="point at the folder of UI-PRMD's recordings as .npz files, laid out as docs/data.md says",
        )
    return paths


def load(path: Path) -> Sample:
    """One recording: layout flag3d24, metres, y up, where the subject stood and faced.

    The key score of every repetition is 1 in a correct recording and 0 in an incorrect one: the dataset judges
    recordings. What was filled is logged; `read_recording` returns it.

    Raises:
        DataError: the file's name, its arrays, their shapes, types or values break a rule.
    """
    sample, report = read_recording(path)
    if report.filled:
        _log.info("%s: %s", path.name, report)
    return sample


def examine(path: Path) -> tuple[Sample, Sequence[Finding]]:
    """One recording, and what was filled in it: a warning where a gap is longer than `LONG_GAP`.

    Raises:
        DataError: see `load`.
    """
    sample, report = read_recording(path)
    if not report.filled:
        return sample, ()
    rule = f"lost markers: {report}"
    if report.longest_gap <= LONG_GAP:
        remedy = "nothing to do: they were filled from the markers that move with them"
        return sample, (Finding(severity="note", rule=rule, remedy=remedy),)
    remedy = (
        "look at the joints that this marker carries; leave the recording out with an exclusion list if they are off"
    )
    return sample, (Finding(severity="warning", rule=rule, remedy=remedy),)


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """By person: 1 to 5 train (5 of them is held out to select), 6 and 7 test. By movement, where all that it names are
    there: inline lunge and shoulder rotation test, the deep squat selects, everybody's."""
    found = [split_by_person(index["subject"].to_pylist(), test=TEST, valid=VALID)]
    movements = set(index["action_id"].to_pylist())
    if movements > {*TEST_MOVEMENTS, *VALID_MOVEMENTS}:
        found.append(split_by_named_action(sorted(movements), test=TEST_MOVEMENTS, valid=VALID_MOVEMENTS))
    return found


def read_recording(path: Path) -> tuple[Sample, GapReport]:
    """One recording and what was filled in it.

    Raises:
        DataError: the file's name, its arrays, their shapes, types or values break a rule.
    """
    named = _FILE.fullmatch(path.name)
    if named is None:
        raise _broken(path, "the name is not like m01_s01_correct.npz")
    movement, subject = int(named["movement"]), int(named["subject"])
    markers_TNC, reps_R2 = _arrays(path)
    missing_TN = (markers_TNC == 0).all(axis=-1)
    if missing_TN.all(axis=0).any():
        lost = ", ".join(np.array(MARKERS)[missing_TN.all(axis=0)])
        raise _broken(path, f"never seen: marker {lost}")
    filled_TNC, report = fill(markers_TNC * _METRES, missing_TN, MARKERS)
    correct = named["verdict"] == "correct"
    key = f"m{movement:02d}"
    captions = lexicon.captions(key)
    standards = tuple(standard.text for standard in lexicon.standards(key))
    sample = Sample(
        sample_id=f"M{movement:03d}S{subject:02d}{'C' if correct else 'I'}",
        dataset="ui_prmd",
        source="lab",
        action_id=f"M{movement:03d}",
        action=captions[0],
        body_part="shoulder" if movement in _SHOULDER_MOVEMENTS else "leg",
        subject=f"S{subject:02d}",
        take=1,
        fps=FPS,
        layout=FLAG3D24.name,
        unit="m",
        captions=captions,
        standards=standards,
        joints_MTVC=_y_up(joint_centres(filled_TNC)).astype(np.float32)[None],
        reps_R2=reps_R2,
        keys_RS=np.full((len(reps_R2), len(standards)), int(correct), dtype=np.int8),
    )
    return sample, report


def joint_centres(markers_TNC: Float[np.ndarray, "T 39 3"]) -> Float[np.ndarray, "T 24 3"]:
    """The joints of flag3d24 from the markers, in the markers' own frame (z up) and unit (metres).

    Midpoints of markers: pelvis (four), spine2 (T10, STRN), neck (C7, CLAV), head (four), head_front and head_back (two
    each), wrists. Single markers: elbows (on the lateral epicondyle, some 4 cm beside the centre: with the arm straight
    nothing tells in which direction) and toes. Single markers moved to the joint: knees and ankles inward, by a fixed
    length along the pelvis' lateral axis, made perpendicular to the thigh or shank; shoulders down the trunk. Hips:
    regressed from the width of the pelvis (Bell, Pedersen and Brand 1990). Interpolated: spine1 halfway from pelvis to
    spine2, spine3 halfway from spine2 to neck, collars a quarter of the way from neck to shoulder.
    """
    marker = {name: markers_TNC[:, n] for n, name in enumerate(MARKERS)}
    joint: dict[str, np.ndarray] = {
        "pelvis": _mean(marker, "LASI", "RASI", "LPSI", "RPSI"),
        "spine2": _mean(marker, "T10", "STRN"),
        "neck": _mean(marker, "C7", "CLAV"),
        "head": _mean(marker, "LFHD", "RFHD", "LBHD", "RBHD"),
        "head_front": _mean(marker, "LFHD", "RFHD"),
        "head_back": _mean(marker, "LBHD", "RBHD"),
    }
    joint["spine1"] = (joint["pelvis"] + joint["spine2"]) / 2
    joint["spine3"] = (joint["spine2"] + joint["neck"]) / 2
    down_TC = _unit(joint["spine2"] - joint["neck"])
    left_TC = _unit(marker["LASI"] - marker["RASI"])
    joint["left_hip"], joint["right_hip"] = _hips(marker)
    for side, letter, inward_TC in (("left", "L", -left_TC), ("right", "R", left_TC)):
        shoulder_TC = marker[f"{letter}SHO"] + SHOULDER_DOWN_M * down_TC
        knee_TC = _inward(marker[f"{letter}KNE"], joint[f"{side}_hip"], inward_TC, KNEE_INWARD_M)
        joint |= {
            f"{side}_collar": 0.75 * joint["neck"] + 0.25 * shoulder_TC,
            f"{side}_shoulder": shoulder_TC,
            f"{side}_elbow": marker[f"{letter}ELB"],
            f"{side}_wrist": _mean(marker, f"{letter}WRA", f"{letter}WRB"),
            f"{side}_knee": knee_TC,
            f"{side}_ankle": _inward(marker[f"{letter}ANK"], marker[f"{letter}KNE"], inward_TC, ANKLE_INWARD_M),
            f"{side}_toe": marker[f"{letter}TOE"],
        }
    return np.stack([joint[name] for name in FLAG3D24.joints], axis=1)


def _hips(marker: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Left and right hip: 36% of the distance W between the front pelvis markers to the side, 19% back, 30% down."""
    front_TC = _mean(marker, "LASI", "RASI")
    left_TC = _unit(marker["LASI"] - marker["RASI"])
    forward_TC = front_TC - _mean(marker, "LPSI", "RPSI")
    forward_TC = _unit(forward_TC - (forward_TC * left_TC).sum(axis=-1, keepdims=True) * left_TC)
    up_TC = np.cross(forward_TC, left_TC)
    width = np.median(
        np.linalg.norm(marker["LASI"] - marker["RASI"], axis=-1)
    )  # of the recording: hips then stay rigid
    centre_TC = front_TC - 0.19 * width * forward_TC - 0.30 * width * up_TC
    return centre_TC + 0.36 * width * left_TC, centre_TC - 0.36 * width * left_TC


def _inward(marker_TC: np.ndarray, above_TC: np.ndarray, inward_TC: np.ndarray, by: float) -> np.ndarray:
    along_TC = _unit(marker_TC - above_TC)
    return marker_TC + by * _unit(inward_TC - (inward_TC * along_TC).sum(axis=-1, keepdims=True) * along_TC)


def _mean(marker: dict[str, np.ndarray], *names: str) -> np.ndarray:
    return np.mean([marker[name] for name in names], axis=0)


def _unit(vectors_TC: np.ndarray) -> np.ndarray:
    return vectors_TC / np.maximum(np.linalg.norm(vectors_TC, axis=-1, keepdims=True), 1e-9)


def _y_up(joints_TVC: Float[np.ndarray, "T V 3"]) -> Float[np.ndarray, "T V 3"]:
    """(x, y, z up) to (x, y up, z): a quarter turn about x, so that left stays left."""
    x, y, z = np.moveaxis(joints_TVC, -1, 0)
    return np.stack([x, z, -y], axis=-1)


def _arrays(path: Path) -> tuple[Float[np.ndarray, "T 39 3"], Int[np.ndarray, "R 2"]]:
    arrays = load_npz(inside(path.parent, path.name), _ARRAYS)
    markers, start, end = (arrays[name] for name in _ARRAYS)
    if not len(markers) or len(start) != len(end):
        raise _broken(path, f"{len(markers)} frames, {len(start)} starts and {len(end)} ends of repetitions")
    finite_T = np.isfinite(markers).all(axis=(1, 2))
    if not finite_T.all():
        frame = int(finite_T.argmin())
        lost = MARKERS[int(np.isfinite(markers[frame]).all(axis=-1).argmin())]
        rule = f"NaN or infinity at marker {lost} ({(~finite_T).sum()} of {len(markers)} frames hold any)"
        raise _broken(f"{path}, frame {frame}", rule)
    if not len(start):
        raise _broken(path, "no repetition: start and end are empty", _CORRECT)
    reps_R2 = np.stack([start, end], axis=1).astype(np.int64)
    _check_repetitions(path, reps_R2, len(markers))
    return markers.astype(np.float64), reps_R2


def _check_repetitions(path: Path, reps_R2: Int[np.ndarray, "R 2"], frames: int) -> None:
    ahead = 0
    for number, (start, end) in enumerate(reps_R2.tolist(), start=1):
        rule = ""
        if start < 0 or end > frames:
            rule = f"leaves frames 0 to {frames}"
        elif end <= start:
            rule = "ends before it starts or where it starts (its end is exclusive)"
        elif start < ahead:
            rule = f"starts before the one ahead of it ends, at {ahead}"
        if rule:
            raise _broken(f"{path}, repetition {number}", f"[{start}, {end}) {rule}", _CORRECT)
        ahead = end


def _broken(where: Path | str, rule: str, remedy: str = _COPY_AGAIN) -> DataError:
    return DataError(where=str(where), rule=rule, remedy=remedy)


READER = Reader(card=CARD, layout=FLAG3D24.name, find=find, load=load, splits=splits, examine=examine)
