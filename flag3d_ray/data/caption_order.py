"""Whose caption an action is told: its own, or another action's, to measure what a text says beyond being there.

With `Text.caption` `shuffled` the captions of each side of the split (training with validation, test) change hands among
its actions, so that no action keeps its own and a side reads the texts that it reads otherwise. Who gets whose is a
function of the actions alone: every seed, arm and process reads the same wrong texts. Where an action stands on both
sides (splits by person) and the sides have the same actions, they swap alike, and the text still tells actions apart.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from flag3d_ray.data.dataset import Dataset
from flag3d_ray.data.splits import PARTS, Part, split_indices
from flag3d_ray.errors import DataError
from flag3d_ray.run import DataSpec

SHUFFLE_SEED = 3407
SIDES: tuple[tuple[Part, ...], ...] = (("train", "valid"), ("test",))


def told(captions: Mapping[str, str], dataset: Dataset, data: DataSpec, part: Part) -> dict[str, str]:
    """Action id -> the caption that clips of `part` are read with.

    Args:
        captions: action id -> its own caption, of every action that is read.

    Raises:
        DataError: captions are to be shuffled on a side of one action.
    """
    if data.text is None or data.text.caption == "true":
        return dict(captions)
    teller: dict[str, str] = {}
    # Where an action stands on both sides, the side of the part asked for has the last word.
    for side in sorted(SIDES, key=lambda side: part in side):
        teller |= derangement([action for action in _actions(dataset, data.split, side) if action in captions])
    return {action: captions[teller.get(action, action)] for action in captions}


def derangement(actions: Sequence[str]) -> dict[str, str]:
    """Each action -> another one, all of them once: one cycle through all, drawn from the sorted actions.

    Raises:
        DataError: there is one action only.
    """
    if len(actions) == 1:
        rule = f"{actions[0]} is the only action of its side of the split, and cannot have another one's caption"
        raise DataError(
            where="shuffled captions", rule=rule, remedy="use a split with two actions or more on each side"
        )
    ordered = sorted(actions)
    cycle = [ordered[place] for place in np.random.default_rng(SHUFFLE_SEED).permutation(len(ordered))]
    return dict(zip(cycle, [*cycle[1:], *cycle[:1]], strict=True))


def _actions(dataset: Dataset, split: str, side: Sequence[Part]) -> list[str]:
    """The actions of a side. Random motions are left out: each is an action of its own, and all have one caption."""
    rows = np.concatenate([split_indices(dataset, split, part) for part in PARTS if part in side])
    columns = dataset.index.select(["action_id", "source"]).take(rows).to_pydict()
    pairs = zip(columns["action_id"], columns["source"], strict=True)
    return sorted({action for action, source in pairs if source != "procedural"})
