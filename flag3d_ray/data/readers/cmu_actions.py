"""CMU Graphics Lab motion capture, actions: short sequences of eight everyday and sports actions.

    train_ACTION_N.npz, test_ACTION_N.npz   `positions` floating point [T, 38, 3] (metres, y up, 30 Hz, the root at the
                                            origin), `label`
    or train_ACTION_N.bvh, ...              Hahne's conversion of CMU's captures (120 Hz), under names like these

Both come from that conversion (2010), whose every file begins with an added T-pose: the first frame is dropped. It also
leaves out the bone `thorax`, so that neck and arms begin a hand's breadth too low.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from flag3d_ray.data.manifest import Card
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.readers.bvh import END, read_bvh
from flag3d_ray.data.readers.cmu import INCH_M
from flag3d_ray.data.readers.files_in import listed, load_npz, stems, to_joints
from flag3d_ray.data.recognition_splits import UNKNOWN, with_validation
from flag3d_ray.data.splits import Split
from flag3d_ray.errors import DataError
from flag3d_ray.sample import Sample
from flag3d_ray.skeleton import layout

LAYOUT = "cmu38"
FPS = 30.0
UNIT_M = INCH_M / 0.45
"""The conversion keeps the unit of CMU's skeletons: 56.4 mm."""
NODES = (
    *("Hips", "LHipJoint", "LeftUpLeg", "LeftLeg", "LeftFoot", "LeftToeBase", f"LeftToeBase{END}"),
    *("RHipJoint", "RightUpLeg", "RightLeg", "RightFoot", "RightToeBase", f"RightToeBase{END}"),
    *("LowerBack", "Spine", "Spine1", "Neck", "Neck1", "Head", f"Head{END}"),
    *("LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand", "LeftFingerBase"),
    *("LeftHandIndex1", f"LeftHandIndex1{END}", "LThumb", f"LThumb{END}"),
    *("RightShoulder", "RightArm", "RightForeArm", "RightHand", "RightFingerBase"),
    *("RightHandIndex1", f"RightHandIndex1{END}", "RThumb", f"RThumb{END}"),
)
"""Nodes of the conversion, in the order of its files and of the layout cmu38."""

CARD = Card(
    description="CMU Graphics Lab motion capture: short sequences of eight actions, as used for motion prediction.",
    limits="Performers are unknown and share one skeleton. The root stays at the origin. The conversion leaves out a bone "
    "of the chest: neck and shoulders are some 10 cm too low. The added first frame (T-pose) is dropped. Captions are the "
    "names of the actions. No repetitions are marked.",
    licence="CMU's terms: free for research and products, no resale of the data; selection MIT (C. Li)",
    unit="m",
    fps="30 (from .bvh files: theirs, 120)",
    axes="right-handed, y up",
    citation="The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from "
    "NSF EIA-0196217.",
)

_FILE = re.compile(r"(?P<part>train|test)_(?P<action>[a-z]+(?:_[a-z]+)*)_(?P<take>\d{1,4})")


def find(root: Path) -> Sequence[Path]:
    """The sequences, by name.

    Raises:
        DataError: no folder, no sequence, two files of one name, a link out of the folder.
    """
    paths = [path for suffix in ("npz", "bvh") for path in listed(root, f"*.{suffix}") if _FILE.fullmatch(path.stem)]
    if not paths:
        rule = "no file is named like train_walking_1.npz"
        raise DataError(where=str(root), rule=rule, remedy="point at the folder of CMU's actions (docs/data.md)")
    return sorted(stems(paths).values(), key=lambda path: path.stem)


def load(path: Path) -> Sample:
    """One sequence: layout cmu38, metres, y up.

    Raises:
        DataError: the file's name, its arrays, their shapes, types or values, or its lines break a rule.
    """
    named = _FILE.fullmatch(path.stem)
    if named is None:
        raise DataError(where=str(path), rule="the name is not like train_walking_1", remedy="rename the file")
    fps, positions_TVC = _from_bvh(path) if path.suffix == ".bvh" else (FPS, _from_npz(path, named["action"]))
    joints_TVC = to_joints(path, positions_TVC, layout(LAYOUT))
    if len(joints_TVC) < 2:
        rule = "one frame, which is the added T-pose"
        raise DataError(where=str(path), rule=rule, remedy="move the file out of the folder")
    action = named["action"].replace("_", " ")
    return Sample(
        sample_id=path.stem,
        dataset="cmu_actions",
        source="lab",
        action_id=named["action"],
        action=action,
        body_part="",
        subject=UNKNOWN,
        take=int(named["take"]),
        fps=fps,
        layout=LAYOUT,
        unit="m",
        captions=(action, action, action),
        standards=(),
        joints_MTVC=joints_TVC[None, 1:],
        reps_R2=np.empty((0, 2), np.int32),
    )


def splits(root: Path, index: pa.Table) -> Sequence[Split]:
    """As the files are named; a tenth of the training side, drawn, selects."""
    names = sorted(index["sample_id"].to_pylist())
    train, test = (tuple(name for name in names if name.startswith(f"{part}_")) for part in ("train", "test"))
    rule = "as the files are named"
    split = Split(name="released", by="sample_id", rule=rule, seed=0, train=train, valid=(), test=test)
    return [with_validation(split, index)]


def _from_npz(path: Path, action: str) -> Float[np.ndarray, "T 38 3"]:
    arrays = load_npz(path, {"positions": (("T", len(NODES), 3), "f"), "label": ((), "U")})
    if (label := str(arrays["label"])) != action:
        rule = f"its label is {label[:40]!r}, its name says {action!r}"
        raise DataError(where=str(path), rule=rule, remedy="rename the file, or copy it again")
    return arrays["positions"]


def _from_bvh(path: Path) -> tuple[float, Float[np.ndarray, "T 38 3"]]:
    """Frames per second, and positions in metres with the root at the origin."""
    found = read_bvh(path)
    if found.joints != NODES:
        wrong = next(
            (name for name, known in zip(found.joints, NODES, strict=False) if name != known), "another number"
        )
        rule = f"its joints are not the 38 nodes of the conversion: {wrong[:40]!r}"
        raise DataError(
            where=str(path), rule=rule, remedy="use the BVH files of B. Hahne's conversion of CMU's captures"
        )
    return found.fps, (found.positions_TVC - found.positions_TVC[:, :1]) * UNIT_M


READER = Reader(card=CARD, layout=LAYOUT, find=find, load=load, splits=splits)
