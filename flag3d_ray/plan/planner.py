"""Planning in one call: what the store and the calibration know, what has to be measured, and whether a budget allows it."""

from collections.abc import Iterator
from dataclasses import dataclass

from flag3d_ray.budget import Budget, BudgetError, duration
from flag3d_ray.home import Home
from flag3d_ray.plan.asked import cheapest_change
from flag3d_ray.plan.calibration import Calibration, Overheads, Report, calibrate
from flag3d_ray.plan.estimate import Asked, Plan, make_plan, standing
from flag3d_ray.plan.history import speeds_of_finished
from flag3d_ray.plan.speed import Seconds, kind
from flag3d_ray.run import Resources

NOTHING = Calibration(Overheads(launch=0.0, generation=0.0, trial=0.0, row=0.0, row_bytes=0.0), {}, {})


@dataclass(frozen=True)
class Planner:
    """Plans commands for a home and the resources of this machine; `report` hears what is being measured."""

    home: Home
    resources: Resources
    report: Report

    def __call__(self, asked: Asked) -> Plan:
        """The plan of a command; measures what nobody has measured on this machine."""
        finished = speeds_of_finished(self.home, self.resources)
        todo = [run for run in asked.runs if standing(run, self.home).state == "to run"]
        measured = NOTHING
        if todo or any(stage.trials for stage in asked.stages):
            unknown = [run for run in todo if kind(run) not in finished]
            encoders = sorted({run.data.text.encoder for run in todo if run.data.text is not None})
            measured = calibrate(unknown, encoders, self.home, self.resources, self.report)
        return make_plan(asked, self.home, self.resources, measured, finished)

    def require_within(self, budget: Budget, plan: Plan, smaller: Iterator[Asked]) -> None:
        """Refuse a plan that takes longer than the budget even at its low end.

        Raises:
            BudgetError: names the first of the smaller commands that is likely to fit.
        """
        if plan.seconds.low <= budget.seconds:
            return
        rule = f"{plan.asked.command} is predicted to take {told(plan.seconds)}"
        found = cheapest_change(smaller, self, budget.seconds)
        more = f"--budget {max(round(plan.seconds.high / 60 + 0.5), 1)}m"
        change = "" if found is None else f"`{found.asked.command}` ({told(found.seconds)}), or "
        raise BudgetError(where=f"--budget {budget.asked}", rule=rule, remedy=f"{change}allow {more}")


def told(seconds: Seconds) -> str:
    """`7.1 min (6.2 min to 9.0 min)`; one duration where the three read alike."""
    low, likely, high = (duration(part) for part in (seconds.low, seconds.likely, seconds.high))
    return likely if low == likely == high else f"{likely} ({low} to {high})"
