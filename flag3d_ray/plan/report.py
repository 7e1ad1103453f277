"""A plan for people and for programs."""

import time
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from flag3d_ray.budget import duration
from flag3d_ray.plan.estimate import Cell, Plan, State
from flag3d_ray.plan.planner import told

STATES: tuple[State, ...] = ("cached", "to run", "failed", "not run")


def print_plan(console: Console, plan: Plan, price_per_hour: float | None, free_bytes: int) -> None:
    """One line per kind of cell, then the sums."""
    console.print(cells_table(plan))
    counts = ", ".join(f"{plan.count(state)} {state}" for state in STATES)
    lines = [f"{len(plan.cells)} cells: {counts}"]
    lines += [f"  {why}" for why in dict.fromkeys(cell.why for cell in plan.cells if cell.why)]
    parts = "; ".join(f"{name} {told(part)}" for name, part in plan.parts.items())
    lines += [f"time: {told(plan.seconds)}", f"  {parts or 'everything is cached'}"]
    if plan.parts:
        lines += [f"  the range: {plan.reason}", f"would end about {_clock(plan.seconds.likely)}"]
    if price_per_hour is not None:
        money = {name: price_per_hour * seconds / 3600 for name, seconds in asdict(plan.seconds).items()}
        lines += [f"cost: {money['likely']:.2f} ({money['low']:.2f} to {money['high']:.2f})"]
    lines += [f"disk: {plan.bytes / 2**20:.0f} MiB of {free_bytes / 2**20:.0f} MiB free"]
    if plan.bytes > free_bytes:
        lines += ["  not enough: free some space, or give another --home"]
    if plan.saved:
        lines += [f"cached cells save {duration(plan.saved)}: so long did they take when they ran"]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def cells_table(plan: Plan) -> Table:
    """Cells that differ in their seed alone are one line."""
    table = Table(title=plan.asked.command, box=None, title_justify="left")
    for column in ("cells", "cached", "to run", "each takes", "measured by"):
        table.add_column(column, justify="right" if column in ("cached", "to run", "each takes") else "left")
    groups: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        groups.setdefault(cell.run.label.rpartition(", seed")[0], []).append(cell)
    for label, cells in groups.items():
        todo = [cell for cell in cells if cell.state == "to run"]
        each = told(todo[0].fit + todo[0].evaluation) if todo else "-"
        cached = sum(cell.state == "cached" for cell in cells)
        table.add_row(label, str(cached), str(len(todo)), each, todo[0].basis if todo else "")
    return table


def plan_json(plan: Plan, price_per_hour: float | None, free_bytes: int) -> dict[str, Any]:
    """The plan as plain JSON: seconds, bytes, and money where there is a price."""
    seconds = asdict(plan.seconds)
    return {
        "command": plan.asked.command,
        "cells": {state: plan.count(state) for state in STATES} | {"all": len(plan.cells)},
        "seconds": seconds,
        "reason": plan.reason,
        "parts": {name: asdict(part) for name, part in plan.parts.items()},
        "cost": None if price_per_hour is None else {name: price_per_hour * s / 3600 for name, s in seconds.items()},
        "bytes": plan.bytes,
        "free_bytes": free_bytes,
        "saved_seconds": plan.saved,
        "runs": [
            {"label": cell.run.label, "state": cell.state, "why": cell.why, "basis": cell.basis, "bytes": cell.bytes}
            | {"fit": asdict(cell.fit), "evaluation": asdict(cell.evaluation)}
            for cell in plan.cells
        ],
    }


def _clock(seconds: float) -> str:
    """The time of day so many seconds from now."""
    return time.strftime("%H:%M", time.localtime(time.time() + seconds))
