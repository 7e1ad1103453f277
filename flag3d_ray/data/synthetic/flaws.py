"""The graded flaws: what goes wrong in a repetition, as changes of its timing, its range or its joint angles."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from flag3d_ray.data.synthetic.activity import Activity
from flag3d_ray.data.synthetic.poses import ANGLES, COLUMN, MIRROR, MIRROR_SIGN, Pose, both, pose_vector
from flag3d_ray.errors import DataError

FLAWS = (
    "short_range",
    "no_return",
    "rushed",
    "bent_elbows",
    "bent_knees",
    "trunk_lean",
    "trunk_twist",
    "asymmetric",
    "hip_sag",
    "knees_in",
    "head_drop",
    "shoulder_shrug",
    "elbows_flare",
    "off_balance",
    "heels_up",
)


@dataclass(frozen=True, eq=False)
class RepFlaws:
    """How badly each repetition breaks each of the activity's standards: the flaw of each standard, and its strength.

    `strength_RS` is in [0, 1]; 0 is clean.

    Raises:
        DataError: an unknown flaw, or a strength outside [0, 1].
    """

    flaws: tuple[str, ...]
    strength_RS: Float[np.ndarray, "R S"]

    def __post_init__(self) -> None:
        unknown = [flaw for flaw in self.flaws if flaw not in FLAWS]
        if unknown:
            raise DataError(where=f"flaw {unknown[0]!r}", rule="unknown flaw", remedy=f"use one of: {', '.join(FLAWS)}")
        if self.strength_RS.shape[1] != len(self.flaws) or np.any((self.strength_RS < 0) | (self.strength_RS > 1)):
            raise DataError(
                where="strength_RS",
                rule=f"strengths are in [0, 1], one column per flaw, got shape {self.strength_RS.shape}",
                remedy="draw one strength per repetition and standard",
            )

    @classmethod
    def none(cls, repetitions: int) -> "RepFlaws":
        """Every repetition is clean."""
        return cls((), np.zeros((repetitions, 0)))

    def of(self, flaw: str) -> Float[np.ndarray, " R"]:
        """Strength of one flaw per repetition: the largest where several standards share it, 0 where none names it."""
        named = [column for column, name in enumerate(self.flaws) if name == flaw]
        return self.strength_RS[:, named].max(axis=1, initial=0.0)


@dataclass(frozen=True, eq=False)
class Moment:
    """Where each frame stands: the repetition (-1 while idle) and the phase in [0, 1]."""

    rep_T: Int[np.ndarray, " T"]
    phase_T: Float[np.ndarray, " T"]

    def spread(self, value_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, " T"]:
        """A value per repetition as a value per frame, 0 while idle."""
        return np.append(value_R, 0.0)[self.rep_T]

    def plateau(self) -> Float[np.ndarray, " T"]:
        """0 at both ends of a repetition, 1 from 20 to 80 % of it."""
        return _smooth(np.minimum(self.phase_T, 1 - self.phase_T) / 0.2)

    def after_turn(self, value_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, " T"]:
        """A value that takes over in the first half of its repetition and stays until the next repetition's."""
        last_T = np.maximum.accumulate(self.rep_T)
        now_T = np.append(value_R, 0.0)[last_T]
        before_T = np.concatenate([[0.0], value_R[:-1], [0.0]])[last_T]
        share_T = np.where(self.rep_T < 0, 1.0, _smooth(self.phase_T / 0.5))
        return before_T + share_T * (now_T - before_T)


def graded(strength_R: Float[np.ndarray, " R"], low: float, high: float) -> Float[np.ndarray, " R"]:
    """`low` at the faintest, `high` at the strongest, 0 where clean."""
    return np.where(strength_R > 0, low + (high - low) * strength_R, 0.0)


def rushed_phase(activity: Activity, moment: Moment, strength_R: Float[np.ndarray, " R"]) -> Float[np.ndarray, " T"]:
    """Phases in which the return of each stroke takes down to a fifth of the stroke's time."""
    turn = activity.turn
    back_T = (1 - turn) + moment.spread(graded(strength_R, 0.5, 1.0)) * (0.2 - (1 - turn))
    stroke_T, place_T = np.divmod(moment.phase_T * activity.strokes, 1.0)
    out_T = turn * place_T / (1 - back_T)
    return_T = turn + (1 - turn) * (place_T - (1 - back_T)) / back_T
    return (stroke_T + np.where(place_T < 1 - back_T, out_T, return_T)) / activity.strokes


def change_range(
    activity: Activity, flaws: RepFlaws, moment: Moment, change_TA: Float[np.ndarray, "T A"], rng: np.random.Generator
) -> Float[np.ndarray, "T A"]:
    """The change from the start pose with `asymmetric`, `short_range` and `no_return` applied."""
    uneven_T = moment.spread(graded(flaws.of("asymmetric"), 0.35, 0.65))
    if uneven_T.any():
        change_TA = _uneven(activity, moment, change_TA, uneven_T, weak_is_left=bool(rng.random() < 0.5))
    change_TA = change_TA * (1 - moment.spread(graded(flaws.of("short_range"), 0.3, 0.6)))[:, None]
    kept_T1 = moment.after_turn(graded(flaws.of("no_return"), 0.25, 0.5))[:, None]
    return change_TA + kept_T1 * (activity.extreme_A - change_TA)


def _uneven(
    activity: Activity,
    moment: Moment,
    change_TA: Float[np.ndarray, "T A"],
    uneven_T: Float[np.ndarray, " T"],
    weak_is_left: bool,
) -> Float[np.ndarray, "T A"]:
    """One side moves less far: one stroke where the sides take turns; a one-sided move is joined by the other side."""
    if activity.strokes == 2:
        place_T = moment.phase_T if weak_is_left else 1 - moment.phase_T
        weak_T = _smooth(np.minimum(place_T, 0.5 - place_T) / 0.06)
        return change_TA * (1 - uneven_T * weak_T)[:, None]
    effort = {side: float(np.abs(activity.extreme_A[_OF_SIDE[side]]).sum()) for side in _OF_SIDE}
    if min(effort.values()) < 0.2 * max(effort.values()):
        idle = min(effort, key=effort.__getitem__)
        joined_TA = change_TA[:, MIRROR] * MIRROR_SIGN * uneven_T[:, None]
        return change_TA + np.where(_OF_SIDE[idle], joined_TA, 0.0)
    weak = _OF_SIDE["left" if weak_is_left else "right"]
    return change_TA * np.where(weak, 1 - uneven_T[:, None], 1.0)


_OF_SIDE = {side: np.array([angle.startswith(side) for angle in ANGLES]) for side in ("left", "right")}


def add_postural(
    activity: Activity, flaws: RepFlaws, moment: Moment, angles_TA: Float[np.ndarray, "T A"], rng: np.random.Generator
) -> Float[np.ndarray, "T A"]:
    """The joint angles with all flaws that add to them: each rises and fades within its repetition."""
    plateau_T = moment.plateau()
    side_R = rng.choice([-1.0, 1.0], size=len(flaws.strength_RS))
    for flaw, (low, high, signed, direction) in _POSTURAL.items():
        size_R = graded(flaws.of(flaw), low, high)
        if size_R.any():
            size_T = moment.spread(size_R * side_R if signed else size_R) * plateau_T
            angles_TA = angles_TA + size_T[:, None] * pose_vector(direction(activity))
    flare_T = moment.spread(graded(flaws.of("elbows_flare"), 25.0, 40.0)) * plateau_T
    return _flared(angles_TA, flare_T) if flare_T.any() else angles_TA


def _lean(activity: Activity) -> Pose:
    sign = -1.0 if activity.leans_back else 1.0
    return {angle: sign * value for angle, value in activity.posture.lean.items()}


def _bent_elbows(activity: Activity) -> Pose:
    # Hands that stay on the floor while the hips do too: the chest comes down.
    propped = "left_wrist" in activity.posture.contacts.free
    return both(elbow=1.0) | ({"trunk_flex": 0.5} if propped else {})


def _bent_knees(activity: Activity) -> Pose:
    upright = activity.posture.flat_feet or not activity.posture.contacts.planted
    return both(knee=1.0, hip_flex=0.5) if upright else both(knee=1.0)


def _knees_in(activity: Activity) -> Pose:
    # A straight knee cannot point inwards: it gives way a little first.
    return both(hip_abd=-1.0, hip_rot=-1.0, knee=0.5, hip_flex=0.25)


_OFF_BALANCE: Pose = {"shift_x": 0.01, "left_slip": 0.007, "trunk_side": 0.6}

# Size at the faintest and at the strongest (degrees, or centimetres for off_balance), whether it goes either way, and
# the angles that change by one unit.
_POSTURAL: dict[str, tuple[float, float, bool, Callable[[Activity], Pose]]] = {
    "bent_elbows": (35.0, 70.0, False, _bent_elbows),
    "bent_knees": (25.0, 50.0, False, _bent_knees),
    "trunk_lean": (15.0, 30.0, False, _lean),
    "trunk_twist": (15.0, 30.0, True, lambda activity: {"trunk_twist": 1.2, "trunk_side": 0.5}),
    "hip_sag": (15.0, 30.0, False, lambda activity: activity.posture.sag),
    "knees_in": (12.0, 25.0, False, _knees_in),
    "head_drop": (25.0, 45.0, False, lambda activity: {"neck_flex": 1.3}),
    "shoulder_shrug": (15.0, 25.0, False, lambda activity: both(shrug=1.0)),
    "off_balance": (6.0, 12.0, True, lambda activity: _OFF_BALANCE),
    "heels_up": (20.0, 35.0, False, lambda activity: both(ankle=-1.0)),
}


def _flared(angles_TA: Float[np.ndarray, "T A"], flare_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, "T A"]:
    """Elbows moved outwards along the steepest way: hanging arms spread, arms held forward open, spread arms drop."""
    angles_TA = angles_TA.copy()
    for side in ("left", "right"):
        raise_, plane = COLUMN[f"{side}_arm_raise"], COLUMN[f"{side}_arm_plane"]
        up_T, around_T = np.radians(angles_TA[:, raise_]), np.radians(angles_TA[:, plane])
        angles_TA[:, plane] -= flare_T * np.sin(around_T) / np.maximum(np.sin(up_T), 0.35)
        angles_TA[:, raise_] += flare_T * np.cos(up_T) * np.cos(np.radians(angles_TA[:, plane]))
        outwards_T = np.sin(up_T) * np.cos(around_T)
        angles_TA[:, raise_] -= flare_T * _smooth((outwards_T - 0.7) / 0.25)
    return angles_TA


def _smooth(share_T: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """0 below 0, 1 above 1, a cubic between."""
    share_T = np.clip(share_T, 0.0, 1.0)
    return share_T * share_T * (3 - 2 * share_T)
