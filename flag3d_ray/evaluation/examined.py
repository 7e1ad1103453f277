"""A finished run opened again for figures: its network, its test clips, and which of them are shown, by rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from flag3d_ray.data.clips import Clips
from flag3d_ray.errors import RunError
from flag3d_ray.evaluation import predictions
from flag3d_ray.evaluation.evaluate import test_clips
from flag3d_ray.figures import JointWeightFigure, Panel
from flag3d_ray.home import Home
from flag3d_ray.models.inspection import encoder_features, joint_weights
from flag3d_ray.models.rac import RepetitionCounter
from flag3d_ray.skeleton import Layout, layout
from flag3d_ray.store import RunFolder
from flag3d_ray.training.packaged import load_run


@dataclass(frozen=True, eq=False, kw_only=True)
class Examined:
    """A density network with its N test clips and what it predicted for them; row n is clip n."""

    key: str
    network: RepetitionCounter
    clips: Clips
    action_N: Shaped[np.ndarray, " N"]
    body_part_N: Shaped[np.ndarray, " N"]
    truth_N: Float[np.ndarray, " N"]
    count_N: Float[np.ndarray, " N"]

    @property
    def skeleton(self) -> Layout:
        """The joints of the clips."""
        return layout(self.clips.dataset.manifest.layout)

    @property
    def actions(self) -> list[str]:
        """The ids of the tested actions, in order."""
        return sorted(set(self.action_N.tolist()))

    def action_name(self, row: int) -> str:
        """`A015 Lying Shoulder Joint Upward Round`, of the action that a clip shows."""
        sample = self.clips.dataset.sample(self.clips.sequence(row))
        return f"{sample.action_id} {sample.action}"


def examine(folder: RunFolder, home: Home) -> Examined:
    """Open a finished run of a density network.

    Raises:
        RunError: it has no model or no predictions, or its method has no encoder with a density head.
    """
    found = load_run(folder)
    if not isinstance(found.estimator, RepetitionCounter):
        rule, remedy = "its method is no density network", "choose HL-RAC or TransRAC"
        raise RunError(where=found.name, rule=rule, remedy=remedy)
    columns = predictions.read(folder.predictions, ["action_id", "body_part", "truth", "count"]).to_pydict()
    return Examined(
        key=folder.key,
        network=found.estimator,
        clips=test_clips(found.run, home),
        action_N=np.array(columns["action_id"]),
        body_part_N=np.array(columns["body_part"]),
        truth_N=np.array(columns["truth"], dtype=np.float64),
        count_N=np.array(columns["count"], dtype=np.float64),
    )


def typical_rows(examined: Examined, most: int) -> list[int]:
    """One clip each of up to `most` tested actions that stand at equal distances in the order of their ids."""
    actions = examined.actions
    return [typical_row(examined, actions[place]) for place in _spread(len(actions), most)]


def typical_row(examined: Examined, action: str) -> int:
    """The clip of an action with the median true count, the lower one of two; of several the first."""
    rows_K = np.flatnonzero(examined.action_N == action)
    truth_K = examined.truth_N[rows_K]
    return int(rows_K[np.argmax(truth_K == np.sort(truth_K)[(len(truth_K) - 1) // 2])])


def rows_of(examined: Examined, action: str, most: int) -> Int[np.ndarray, " K"]:
    """Up to `most` clips of an action, at equal distances."""
    rows_K = np.flatnonzero(examined.action_N == action)
    return rows_K[_spread(len(rows_K), most)]


def panel_actions(examined: Examined, panels: Sequence[Panel]) -> dict[Panel, str]:
    """Panel -> tested action: its own one, else the first that no panel names, of the panel's body part if there is one.

    A panel for which none is left is missing.
    """
    chosen = {panel: panel.action_id for panel in panels if panel.action_id in examined.actions}
    free = [action for action in examined.actions if action not in chosen.values()]
    for panel in panels:
        if panel not in chosen and free:
            fitting = set(examined.action_N[examined.body_part_N == panel.body_part].tolist())
            chosen[panel] = next((action for action in free if action in fitting), free[0])
            free.remove(chosen[panel])
    return {panel: chosen[panel] for panel in panels if panel in chosen}


def encoded(examined: Examined, row: int) -> Float[np.ndarray, "T F"]:
    """The encoder's features of a clip's frames, padding left out."""
    batch = examined.clips.batch(np.array([row]))
    features_TF = encoder_features(examined.network, batch.without_labels())[0]
    return features_TF[batch.valid_BT[0]].numpy()


def true_repetitions(examined: Examined, row: int) -> Int[np.ndarray, " T"]:
    """The true repetition of each of a clip's frames, -1 where none, padding left out."""
    batch = examined.clips.batch(np.array([row]))
    assert batch.reps_BT is not None
    return batch.reps_BT[0][batch.valid_BT[0]].numpy()


def shown_joints(examined: Examined, row: int) -> Float32[np.ndarray, "T V C"]:
    """The joints of a clip, padding left out."""
    batch = examined.clips.batch(np.array([row]))
    return batch.joints_BTVC[0][batch.valid_BT[0]].numpy()


def mean_joint_weights(examined: Examined, action: str, figure: JointWeightFigure) -> Float[np.ndarray, " V"]:
    """The weight of each joint, mean over an action's clips; raises as `models.inspection.graphs`."""
    batch = examined.clips.batch(rows_of(examined, action, figure.clips)).without_labels()
    return joint_weights(examined.network, batch, part=figure.part, end=figure.end).mean(dim=0).numpy()


def _spread(length: int, most: int) -> Int[np.ndarray, " K"]:
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(int))
