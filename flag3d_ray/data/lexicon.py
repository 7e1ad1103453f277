"""What each activity is called, how it is done, what counts as one repetition and which standards it is scored by.

The sixty instruction texts of FLAG3D++ are not public and the other datasets have none, so all texts here are original;
only the names (caption level 1) and body parts are the datasets' own. Identifiers are `A001` to `A060` for FLAG3D++, `m01`
to `m10` for the movements of UI-PRMD, `R01` to `R10` for the types of RepCountA, `C01` to `C12` for CMU's exercises and
`PROCEDURAL` for random motions, which have no name of their own.
"""

import functools
import importlib.resources
import json
from dataclasses import dataclass

from flag3d_ray.errors import DataError

PROCEDURAL = "procedural"

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
"""Ways in which a movement can be done badly; the synthetic motions show them, the standards name them."""


@dataclass(frozen=True)
class Standard:
    """A sentence that a repetition meets (key score 1) or not (0), and the member of `FLAWS` that violates it.

    `flaw` is None where a dataset judges the movement as a whole.
    """

    text: str
    flaw: str | None


@dataclass(frozen=True)
class _Entry:
    captions: tuple[str, str, str]
    standards: tuple[Standard, ...]
    repetition: str
    body_part: str | None


def activity_ids() -> tuple[str, ...]:
    """The identifiers of the sixty activities of FLAG3D++, in order."""
    return tuple(_sections()["activities"])


def ui_prmd_ids() -> tuple[str, ...]:
    """The identifiers of the ten movements of UI-PRMD, in order."""
    return tuple(_sections()["ui_prmd"])


def repcount_ids() -> tuple[str, ...]:
    """The identifiers of the ten types of RepCountA: nine exercises by name, and last all others."""
    return tuple(_sections()["repcount_a"])


def cmu_exercise_ids() -> tuple[str, ...]:
    """The identifiers of CMU's twelve exercises, in the order of their labels."""
    return tuple(_sections()["cmu_exercise"])


def captions(action_id: str) -> tuple[str, str, str]:
    """The three levels of Table 6: the name; how it is done; that with the trainer's advice, mistakes and sensations.

    Raises:
        DataError: no activity has this identifier.
    """
    return _entry(action_id).captions


def standards(action_id: str) -> tuple[Standard, ...]:
    """Three standards; one for a movement of UI-PRMD, whose authors judge it as a whole, and none for `PROCEDURAL`.

    Raises:
        DataError: no activity has this identifier.
    """
    return _entry(action_id).standards


def repetition(action_id: str) -> str:
    """One sentence: what counts as one repetition.

    Raises:
        DataError: no activity has this identifier.
    """
    return _entry(action_id).repetition


def body_part(action_id: str) -> str:
    """The first level of the dataset's taxonomy, one of ten, for an activity of FLAG3D++.

    Raises:
        DataError: no activity of FLAG3D++ has this identifier.
    """
    part = _entry(action_id).body_part
    if part is None:
        raise DataError(
            where=f"lexicon, {action_id}",
            rule="only activities of FLAG3D++ belong to a body part",
            remedy="ask for one of A001 to A060",
        )
    return part


def _entry(action_id: str) -> _Entry:
    try:
        return _entries()[action_id]
    except KeyError:
        raise DataError(
            where=f"lexicon, {action_id!r}",
            rule="no activity has this identifier",
            remedy=f"use A001 to A060, m01 to m10, R01 to R10, C01 to C12 or {PROCEDURAL!r}",
        ) from None


@functools.cache
def _entries() -> dict[str, _Entry]:
    return {action_id: entry for section in _sections().values() for action_id, entry in section.items()}


@functools.cache
def _sections() -> dict[str, dict[str, _Entry]]:
    """The lexicon by dataset; `PROCEDURAL` is a section of one."""
    text = importlib.resources.files("flag3d_ray.data").joinpath("lexicon.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    if raw["version"] != 1:
        raise DataError(
            where="flag3d_ray/data/lexicon.json",
            rule=f"version 1 is expected, found {raw['version']}",
            remedy="reinstall flag3d-ray",
        )
    named = {name: raw[name] for name in ("activities", "ui_prmd", "repcount_a", "cmu_exercise")}
    sections = {**named, PROCEDURAL: {PROCEDURAL: raw[PROCEDURAL]}}
    return {
        name: {action_id: _parse(entry) for action_id, entry in section.items()} for name, section in sections.items()
    }


def _parse(raw: dict) -> _Entry:
    name, details, instructions = raw["captions"]
    return _Entry(
        captions=(name, details, instructions),
        standards=tuple(Standard(text=item["text"], flaw=item["flaw"]) for item in raw["standards"]),
        repetition=raw["repetition"],
        body_part=raw.get("body_part"),
    )
