"""A small valid open folder that a person edits: the quickest way to a dataset of one's own."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from flag3d_ray.data.readers.open_format_joints import column_names, is_image
from flag3d_ray.data.readers.open_format_tables import (
    CAPTIONS,
    CARD,
    JOINTS,
    REPETITIONS,
    SEQUENCES,
    SPLITS,
    OpenCard,
    Row,
)
from flag3d_ray.data.readers.open_format_write import OpenSequence, appearing, write_into, write_table
from flag3d_ray.skeleton import Layout, layout

_TEXTS = (
    (
        "A001",
        "Arms Up",
        "Both arms rise and fall again.",
        "Lift both arms over the head, then lower them.",
        "Arms end high.",
    ),
    (
        "A002",
        "Arms Out",
        "Both arms go out and back.",
        "Stretch both arms to the sides, then lower them.",
        "Arms end level.",
    ),
)
_HEIGHTS = {
    **{"toe": 0.03, "foot": 0.03, "ankle": 0.08, "knee": 0.5, "hip": 0.92, "pelvis": 0.95, "thumb": 0.75},
    **{"hand": 0.75, "wrist": 0.85, "elbow": 1.1, "spine1": 1.05, "spine_mid": 1.15, "spine2": 1.15, "spine3": 1.3},
    **{"spine_shoulder": 1.4, "collar": 1.4, "shoulder": 1.4, "neck": 1.45, "head": 1.6, "nose": 1.6, "eye": 1.65},
    **{"ear": 1.62, "hand_tip": 0.7, "head_front": 1.6, "head_back": 1.6},
}
"""Of each joint of a standing person, in metres, without the side."""


def write_template(folder: Path, layout_name: str) -> None:
    """Write an example of two movements by three people in that layout, with a README that says what to change.

    The joints of one of the six sequences are a table, the others arrays.

    Raises:
        DataError: the folder exists, or no layout has that name.
        DiskFull: nothing is left behind.
    """
    skeleton = layout(layout_name)
    sequences = [_example(skeleton, person, action) for person in range(3) for action in range(2)]
    names = [sequence.row.sample_id for sequence in sequences]
    parts = {"train": names[:2], "valid": names[2:4], "test": names[4:]}
    with appearing(folder) as hidden:
        write_into(hidden, sequences, _card(skeleton), {"by_person": parts})
        _as_table(hidden, sequences[0], skeleton)
        write_table(hidden / CAPTIONS, ("action_id", "name", "details", "instructions", "standard1"), _TEXTS)
        (hidden / "README.md").write_text(_readme(skeleton), encoding="utf-8")


def _card(skeleton: Layout) -> OpenCard:
    image = is_image(skeleton)
    return OpenCard(
        name="my-dataset",
        description="Two invented movements by three invented people: replace them by your own.",
        limits="An example: no person made these movements.",
        licence="CC0-1.0",
        layout=skeleton.name,
        unit="px" if image else "m",
        up="" if image else "y",
        handedness="" if image else "right",
        fps=30.0,
    )


def _example(skeleton: Layout, person: int, action: int) -> OpenSequence:
    """Three repetitions of 20 frames: a figure that sways a little while its arms move, 1.7 m high or 200 pixels."""
    lift_T = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(60) / 20)
    joints_TVC = np.tile(_standing(skeleton), (60, 1, 1))
    for number, name in enumerate(skeleton.joints):
        if "wrist" in name or "hand" in name or "elbow" in name:
            joints_TVC[:, number, 1 - action] += lift_T * (-0.6 if action == 1 and name.startswith("right") else 0.6)
    sway_T = 0.01 * np.sin(2 * np.pi * np.arange(60) / 60)  # nobody stands so still that joints repeat to the last bit
    joints_TVC[..., 0] += 0.1 * person + sway_T[:, None]
    image = is_image(skeleton)
    if image:
        pixels_TVC = np.full((60, len(skeleton), skeleton.channels), 0.9)
        pixels_TVC[..., :2] = joints_TVC[..., :2] * (120, -120) + (427, 340)
        joints_TVC = pixels_TVC
    return OpenSequence(
        row=Row(
            sample_id=f"P{person + 1:02d}-A{action + 1:03d}",
            action_id=_TEXTS[action][0],
            action=_TEXTS[action][1],
            subject=f"P{person + 1:02d}",
            image_hw=(480, 854) if image else None,
        ),
        joints_MTVC=joints_TVC[None].astype(np.float32),
        reps_R2=np.array([[0, 20], [20, 40], [40, 60]]),
        keys_RS=np.ones((3, 1), np.int8),
    )


def _standing(skeleton: Layout) -> Float[np.ndarray, "V 3"]:
    """A rough figure on its feet, y up, facing +z: height by the joint's name, the left side at +x."""
    joints_VC = np.zeros((len(skeleton), 3))
    for number, name in enumerate(skeleton.joints):
        side, _, part = name.partition("_")
        sided = side in ("left", "right")
        joints_VC[number, 0] = (0.2 if side == "left" else -0.2) if sided else 0.0
        joints_VC[number, 1] = _HEIGHTS.get(part if sided else name, 1.0)
    return joints_VC


def _as_table(folder: Path, sequence: OpenSequence, skeleton: Layout) -> None:
    path = folder / JOINTS / f"{sequence.row.sample_id}.npz"
    path.unlink()
    frames_TX = sequence.joints_MTVC[0].reshape(sequence.joints_MTVC.shape[1], -1)
    write_table(path.with_suffix(".csv"), column_names(skeleton), [[f"{x:.5f}" for x in frame] for frame in frames_TX])


def _readme(skeleton: Layout) -> str:
    axes = "x right, y down, in pixels" if is_image(skeleton) else "unit and axes as `dataset.json` says"
    size = f"{len(skeleton)}, {skeleton.channels}"
    files = {
        CARD: "say what the data is: description, limits, licence, unit, frames per second, the axis that points up and "
        "whether axes are right- or left-handed. Empty texts are refused",
        SEQUENCES: "one row per sequence. `sample_id`, `action_id`, `action` and `subject` are required (`unknown` will "
        "do); any other column may go",
        f"{JOINTS}/ID.npz": f"`numpy.savez(path, joints=joints)`: floating point, [T, {size}], or [M, T, {size}] for M "
        f"persons; {axes}",
        f"{JOINTS}/ID.csv": "or a table with one row per frame, like `P01-A001.csv`",
        REPETITIONS: "optional: first and exclusive last frame of each repetition, counted from 0, and key scores 0 or 1",
        CAPTIONS: "optional: three levels of words per action, and what each key score judges",
        SPLITS: "optional: which sequences train, select (valid) and test",
    }
    lines = [
        "# An open folder for flag3d",
        "",
        "This example can be read as it is: `flag3d data ingest open THIS-FOLDER`.",
        "Replace its content by your own, file by file.",
        "`flag3d data check THIS-FOLDER --reader open` says what is wrong so far.",
        "",
        "| file | what to do |",
        "|---|---|",
        *(f"| `{name}` | {words} |" for name, words in files.items()),
        "",
        f"Joints of the layout {skeleton.name}, in order: {', '.join(skeleton.joints)}.",
    ]
    return "\n".join(lines) + "\n"
