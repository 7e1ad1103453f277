"""Why something that was computed before is computed again: its key names other data, other text or other source now."""

from collections.abc import Mapping, Sequence
from typing import Any

from flag3d_ray.source import PACKAGE
from flag3d_ray.store import RunFolder

Record = Mapping[str, Any]


def is_new(folder: RunFolder) -> bool:
    """Whether no launch has described this run yet."""
    return "run" not in folder.record()


def rerun_reason(record: Record, earlier: Sequence[Record]) -> str:
    """What differs from the run that was asked in the same words last, or nothing where none was.

    Args:
        record: `run` and what went into the key beside it, `digests` and `sources` (`execution.facts`).
        earlier: the records of a store, each with these fields and `provenance`; older ones have no `sources`.
    """
    asked_before = [other for other in earlier if other.get("run") == record["run"]]
    if not asked_before:
        return ""
    found = min((_differences(record, other) for other in asked_before), key=len)
    return f"computed before, again now: {', '.join(found)} changed" if found else ""


def _differences(record: Record, other: Record) -> list[str]:
    found = [name.replace("_", " ") for name in _unequal(record["digests"], other.get("digests", {}))]
    modules = _unequal(record["sources"], other.get("sources", {}))
    return found + (["source"] if "sources" not in other else [name.removeprefix(f"{PACKAGE}.") for name in modules])


def _unequal(one: Record, other: Record) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
