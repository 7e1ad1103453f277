"""The vocabulary of poses: named joint angles of a person, and what they mean as rotations.

A pose maps angle names to degrees (some to metres); what it does not name is zero. Zero everywhere is the rest pose.

    pitch, roll, yaw          the whole body: forward, towards the left, turning left
    trunk_flex, _side, _twist spread over three spine joints: forward, to the left, turning left
    neck_flex, _side, _twist  spread over neck and head, same signs
    <side>_shrug, _protract   collar up, collar forward
    <side>_arm_raise          elevation of the upper arm: 0 hangs, 90 level, 180 overhead
    <side>_arm_plane          where to: 0 sideways, 90 forward, -90 backward
    <side>_arm_twist          turn about the upper arm, inward positive
    <side>_elbow, _knee       flexion, never negative
    <side>_hip_flex, _abd, _rot   thigh forward, outward, toes out
    <side>_ankle              toes up, from a right angle with the shank, or from the floor where planted flat
    shift_x, shift_z, lift    metres: to the left, forward, off the floor
    <side>_slip               metres: a planted foot moved to the left
"""

import numpy as np
from jaxtyping import Float

from flag3d_ray.data.synthetic.body import rest_offsets
from flag3d_ray.skeleton import FLAG3D24

Number = float | int
Pose = dict[str, Number]

LIMITS: dict[str, tuple[Number, Number]] = {
    "pitch": (-400, 400),
    "roll": (-180, 180),
    "yaw": (-180, 180),
    "trunk_flex": (-75, 90),
    "trunk_side": (-45, 45),
    "trunk_twist": (-85, 85),
    "neck_flex": (-65, 65),
    "neck_side": (-50, 50),
    "neck_twist": (-85, 85),
}
_SIDED_LIMITS = {
    "shrug": (-20, 50),
    "protract": (-30, 30),
    "arm_raise": (-5, 185),
    "arm_plane": (-100, 165),
    "arm_twist": (-135, 135),
    "elbow": (0, 152),
    "hip_flex": (-40, 135),
    "hip_abd": (-35, 75),
    "hip_rot": (-60, 70),
    "knee": (0, 152),
    "ankle": (-75, 45),
}
_METRES = {"shift_x": (-1.0, 1.0), "shift_z": (-1.0, 1.0), "lift": (0.0, 1.0)}

for _side in ("left", "right"):
    LIMITS |= {f"{_side}_{angle}": limit for angle, limit in _SIDED_LIMITS.items()}
LIMITS |= _METRES | {"left_slip": (-0.5, 0.5), "right_slip": (-0.5, 0.5)}
ANGLES = tuple(LIMITS)
COLUMN = {angle: column for column, angle in enumerate(ANGLES)}
DEGREES = np.array([not (angle in _METRES or angle.endswith("_slip")) for angle in ANGLES])
LOW, HIGH = np.array([LIMITS[angle] for angle in ANGLES], dtype=float).T
_TURNS_LEFT = {"roll", "yaw", "trunk_side", "trunk_twist", "neck_side", "neck_twist", "shift_x"}


def left(**angles: Number) -> Pose:
    """The angles of left limbs: left(elbow=90)."""
    return {f"left_{angle}": value for angle, value in angles.items()}


def right(**angles: Number) -> Pose:
    """The angles of right limbs."""
    return {f"right_{angle}": value for angle, value in angles.items()}


def both(**angles: Number) -> Pose:
    """The same angles on the left and on the right."""
    return left(**angles) | right(**angles)


def _partner(angle: str) -> str:
    side, _, rest = angle.partition("_")
    return {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, angle)


# Column and sign that exchange left and right.
MIRROR = np.array([COLUMN[_partner(angle)] for angle in ANGLES])
MIRROR_SIGN = np.array([-1.0 if angle in _TURNS_LEFT or angle.endswith("_slip") else 1.0 for angle in ANGLES])


def mirrored(pose: Pose) -> Pose:
    """The pose as seen in a mirror: left and right exchanged."""
    return {_partner(angle): value * MIRROR_SIGN[COLUMN[angle]] for angle, value in pose.items()}


def pose_vector(pose: Pose) -> Float[np.ndarray, " A"]:
    """The pose as one row in the order of `ANGLES`; KeyError on an unknown name."""
    vector_A = np.zeros(len(ANGLES))
    for angle, value in pose.items():
        vector_A[COLUMN[angle]] = value
    return vector_A


def reach(out: Number, up: Number, forward: Number, elbow: tuple[Number, Number, Number] = (1.0, -0.8, 0.0)) -> Pose:
    """Arm angles (unsided) that bring the wrist to a point, in metres from the shoulder of a standing body of 1.70 m.

    `elbow` is the direction (out, up, forward) in which the elbow points. Targets out of reach straighten the arm.
    """
    offsets = rest_offsets()
    upper, fore = (float(np.linalg.norm(offsets[FLAG3D24.index(f"left_{name}")])) for name in ("elbow", "wrist"))
    target = np.array([out, up, forward])
    distance = float(np.clip(np.linalg.norm(target), abs(upper - fore) + 1e-3, upper + fore - 1e-3))
    axis = target / np.linalg.norm(target)
    pole = np.array(elbow) - np.dot(elbow, axis) * axis
    along = (upper**2 - fore**2 + distance**2) / (2 * distance)
    elbow_at = along * axis + (upper**2 - along**2) ** 0.5 * pole / np.linalg.norm(pole)
    u, w = elbow_at / upper, (distance * axis - elbow_at) / fore
    raise_, plane = np.arccos(np.clip(-u[1], -1, 1)), np.arctan2(u[2], u[0])
    local = _swing(np.array([raise_]), np.array([plane]), 1)[:, :, 0].T @ w
    return {
        "arm_raise": float(np.degrees(raise_)),
        "arm_plane": float(np.degrees(plane)),
        "arm_twist": float(-np.degrees(np.arctan2(local[0], local[2]))),
        "elbow": float(np.degrees(np.arccos(np.clip(np.dot(u, w), -1, 1)))),
    }


def local_rotations(angles_TA: Float[np.ndarray, "T A"]) -> Float[np.ndarray, "T V 3 3"]:
    """Local rotation of every joint for angles in degrees (columns as `ANGLES`)."""
    radians = dict(zip(ANGLES, np.ascontiguousarray(np.radians(angles_TA).T), strict=True))
    rotations_V33T = np.empty((len(FLAG3D24), 3, 3, len(angles_TA)))
    rotations_V33T[:] = np.eye(3)[None, :, :, None]

    def put(joint: str, rotation_33T: np.ndarray) -> None:
        rotations_V33T[FLAG3D24.index(joint)] = rotation_33T

    put("pelvis", _euler(radians["pitch"], -radians["roll"], radians["yaw"]))
    spine_33T = _euler(radians["trunk_flex"] / 3, -radians["trunk_side"] / 3, radians["trunk_twist"] / 3)
    for joint in ("spine1", "spine2", "spine3"):
        put(joint, spine_33T)
    neck_33T = _euler(radians["neck_flex"] / 2, -radians["neck_side"] / 2, radians["neck_twist"] / 2)
    put("neck", neck_33T)
    put("head", neck_33T)
    nothing_T = np.zeros(len(angles_TA))
    for side, sign in (("left", 1), ("right", -1)):
        own = {angle: radians[f"{side}_{angle}"] for angle in _SIDED_LIMITS}
        put(f"{side}_collar", _euler(nothing_T, sign * own["shrug"], -sign * own["protract"]))
        put(f"{side}_shoulder", _twisted(_swing(own["arm_raise"], own["arm_plane"], sign), -sign * own["arm_twist"]))
        put(f"{side}_elbow", _euler(-own["elbow"], nothing_T, nothing_T))
        put(f"{side}_hip", _euler(-own["hip_flex"], sign * own["hip_abd"], sign * own["hip_rot"]))
        put(f"{side}_knee", _euler(own["knee"], nothing_T, nothing_T))
        put(f"{side}_ankle", _euler(-own["ankle"], nothing_T, nothing_T))
    return rotations_V33T.transpose(3, 0, 1, 2)


def _euler(
    x_T: Float[np.ndarray, " T"], z_T: Float[np.ndarray, " T"], y_T: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "3 3 T"]:
    """Rx(x) Rz(z) Ry(y)."""
    a, s = np.cos(x_T), np.sin(x_T)
    b, t = np.cos(z_T), np.sin(z_T)
    c, u = np.cos(y_T), np.sin(y_T)
    rows = [b * c, -t, b * u, a * t * c + s * u, a * b, a * t * u - s * c, s * t * c - a * u, s * b, s * t * u + a * c]
    return np.stack(rows).reshape(3, 3, -1)


def _swing(raise_T: Float[np.ndarray, " T"], plane_T: Float[np.ndarray, " T"], side: int) -> Float[np.ndarray, "3 3 T"]:
    """Turn about the horizontal axis that lifts a hanging arm in the given plane; `side` is 1 left, -1 right."""
    x, z = -np.sin(plane_T), side * np.cos(plane_T)
    c, s = np.cos(raise_T), np.sin(raise_T)
    rest = 1 - c
    rows = [c + x * x * rest, -z * s, x * z * rest, z * s, c, -x * s, x * z * rest, x * s, c + z * z * rest]
    return np.stack(rows).reshape(3, 3, -1)


def _twisted(swing_33T: Float[np.ndarray, "3 3 T"], y_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, "3 3 T"]:
    """`swing` after a turn about the arm's own axis, y."""
    c, s = np.cos(y_T), np.sin(y_T)
    x_3T, y_3T, z_3T = swing_33T[:, 0], swing_33T[:, 1], swing_33T[:, 2]
    return np.stack([c * x_3T - s * z_3T, y_3T, s * x_3T + c * z_3T], axis=1)
