"""What an activity is: a posture, key poses around one repetition, and what does not count."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator

from flag3d_ray.data.synthetic.contact import Contacts
from flag3d_ray.data.synthetic.poses import MIRROR, MIRROR_SIGN, Pose, pose_vector
from flag3d_ray.skeleton import FLAG3D24

_STEPS = 256


@dataclass(frozen=True)
class Posture:
    """How a person stands or lies: joint angles, contacts and what some flaws mean there.

    `lean` and `sag` are the angles that change when the trunk leans forward, and when the hips sink, by one degree.
    `flat_feet` keeps the soles of planted feet parallel to the floor whatever hips and knees do.
    `looseness` scales personal habits and tremor: the floor straightens and steadies who lies on it.
    """

    pose: Pose
    contacts: Contacts
    lean: Pose
    sag: Pose
    flat_feet: bool = False
    looseness: float = 1.0


@dataclass(frozen=True)
class Key:
    """The pose at one phase of the repetition: angles that differ from the posture, and the contacts if they change."""

    phase: float
    pose: Pose
    planted: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Distractor:
    """Limbs that move and do not count: `pose` is the amplitude in degrees.

    `rate` is in cycles per repetition (a sequence draws its own within 15 %); None moves without a period.
    """

    pose: Pose
    rate: float | None
    chance: float = 0.6


@dataclass(frozen=True, eq=False, kw_only=True)
class Activity:
    """One of the sixty activities: what moves, how, and what makes one repetition.

    `seconds` is the typical duration of a repetition. A repetition has `strokes` (two where left and right take turns),
    and each reaches its end pose at `turn`, a share of the stroke. With `alternates` every second one is mirrored.
    `amplitude_limit` bounds the range of motion where hands or feet meet. `leans_back` is the way a faulty trunk goes.
    """

    action_id: str
    name: str
    body_part: str
    seconds: float
    posture: Posture
    keys: tuple[Key, ...]
    start: Pose = field(default_factory=dict)
    strokes: int = 1
    turn: float = 0.5
    alternates: bool = False
    distractors: tuple[Distractor, ...] = ()
    amplitude_limit: float = 1.15
    leans_back: bool = False

    @property
    def one_repetition(self) -> str:
        """What counts as one, in a few words."""
        if self.alternates:
            return "one side, the sides alternate"
        return "left and right" if self.strokes == 2 else "there and back"

    @cached_property
    def table_PA(self) -> Float[np.ndarray, "P A"]:
        """Joint angles over one repetition on an even grid of phases from 0 to 1, both ends included."""
        base = self.posture.pose | self.start
        phases_K = np.array([key.phase for key in self.keys])
        poses_KA = np.stack([pose_vector(base | key.pose) for key in self.keys])
        around_K = np.concatenate([phases_K - 1, phases_K, phases_K + 1])
        return PchipInterpolator(around_K, np.tile(poses_KA, (3, 1)))(np.linspace(0, 1, _STEPS + 1))

    @cached_property
    def planted_PV(self) -> Float[np.ndarray, "P V"]:
        """1 where a joint is planted, between 0 and 1 while it is put down or lifted; the grid of `table_PA`."""
        weights_KV = np.zeros((len(self.keys), len(FLAG3D24)))
        for row, key in enumerate(self.keys):
            planted = self.posture.contacts.planted if key.planted is None else key.planted
            weights_KV[row, [FLAG3D24.index(joint) for joint in planted]] = 1.0
        phases_K = np.array([key.phase for key in self.keys])
        grid_P = np.linspace(0, 1, _STEPS + 1)
        columns = [np.interp(grid_P, phases_K, weights_K, period=1.0) for weights_K in weights_KV.T]
        return np.stack(columns, axis=1)

    @cached_property
    def extreme_A(self) -> Float[np.ndarray, " A"]:
        """The largest change of each angle from the start pose, with its sign: the end pose of all strokes together."""
        change_PA = self.table_PA - self.table_PA[0]
        return np.take_along_axis(change_PA, np.abs(change_PA).argmax(axis=0)[None], axis=0)[0]

    def angles_at(
        self, phase_T: Float[np.ndarray, " T"], mirrored_T: Bool[np.ndarray, " T"]
    ) -> tuple[Float[np.ndarray, "T A"], Float[np.ndarray, "T V"]]:
        """Joint angles and planted weights at phases in [0, 1]; `mirrored_T` exchanges left and right."""
        place_T = np.clip(phase_T, 0, 1) * _STEPS
        below_T = np.minimum(place_T.astype(np.int64), _STEPS - 1)
        part_T1 = (place_T - below_T)[:, None]
        angles_TA, planted_TV = (
            table[below_T] + part_T1 * (table[below_T + 1] - table[below_T])
            for table in (self.table_PA, self.planted_PV)
        )
        if mirrored_T.any():
            angles_TA[mirrored_T] = angles_TA[mirrored_T][:, MIRROR] * MIRROR_SIGN
            planted_TV[mirrored_T] = planted_TV[mirrored_T][:, np.array(FLAG3D24.mirror)]
        return angles_TA, planted_TV


def there_and_back(end: Pose, *, reached: float = 0.44, held: float = 0.08, rest: float = 0.05) -> tuple[Key, ...]:
    """Start pose, end pose and back: `held` and `rest` are the shares of the repetition spent at each."""
    return (Key(0.0, {}), Key(reached, end), Key(reached + held, end), Key(1.0 - rest, {}))


def left_and_right(first: Pose, second: Pose, *, planted: tuple[tuple[str, ...], ...] = ()) -> tuple[Key, ...]:
    """The start pose, `first`, the start pose, `second`; `planted` may name the contacts of start, first and second."""
    start, one, two = planted or (None, None, None)
    return (
        Key(0.0, {}, start),
        Key(0.03, {}, one),
        Key(0.22, first, one),
        Key(0.28, first, one),
        Key(0.47, {}, one),
        Key(0.50, {}, start),
        Key(0.53, {}, two),
        Key(0.72, second, two),
        Key(0.78, second, two),
        Key(0.97, {}, two),
    )
