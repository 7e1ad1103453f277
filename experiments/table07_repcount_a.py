"""Table 7: repetition action counting on RepCountA, videos of everyday exercise.

Paper: FLAG3D++, Section 5.1, Table 7: skeletons of a filtered RepCountA, and three methods that read the videos.
Command: flag3d table 7 --preset tiny
Expected time: hours on two cores; without RepCountA every row says how to read it in.
Expected output: the printed numbers, measured ones beside them where skeletons of RepCountA are at hand. Rows of methods
that read videos are printed only: this project reads skeletons.
"""

from collections.abc import Sequence
from dataclasses import replace

from experiments import counting_methods, protocol
from experiments.counting_methods import Asked
from flag3d_ray.errors import RunError
from flag3d_ray.paper import PublishedRow, published
from flag3d_ray.run import Run
from flag3d_ray.tables import Row, Table

NUMBER = 7
DATASET = "repcount_a"
LEVEL = 2  # Section 5.1: the type of the action enriched with a description
PRINTED_ONLY = "reads videos, printed only"
NOTES = (
    "Rows of group Video are the paper's alone: these methods read the videos, and this project reads skeletons.",
    "Test set: whole videos. The paper's are 113 of the 152 test videos and it does not say which; measured rows are of those "
    "that have a skeleton. Skeletons are whichever were read in; the paper's are not published.",
    "Captions are of level 2: the type of exercise with a description, in this project's words.",
    "Learned methods start from random weights, as in the paper: skeletons may be of any layout, and no warm start fits all.",
)


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """The rows in the paper's order, videos first.

    Raises:
        RunError: another dataset than RepCountA is asked for.
    """
    if dataset not in ("", DATASET):
        rule = "table 7 is of RepCountA and of nothing else"
        raise RunError(where=f"--dataset {dataset}", rule=rule, remedy="leave it out, or use another table")
    size, printed = protocol.preset(preset), published(NUMBER)
    asked = Asked(size=size, dataset=DATASET, seeds=seeds, text_encoder=text_encoder, level=LEVEL)
    ran = counting_methods.runs(asked)
    return Table(
        name=str(NUMBER),
        title=printed.title,
        dataset=DATASET,
        preset=size.name,
        printed_on="RepCountA",
        rows=tuple(_row(row, ran) for row in printed.rows),
        notes=(*NOTES, *protocol.notes(size, DATASET)),
    )


def _row(printed: PublishedRow, ran: dict[str, tuple[Run, ...]]) -> Row:
    id, group = str(printed.arm["method"]), str(printed.arm["input"])
    if group == "Video":
        return Row(
            method=f"video_{id}", label=printed.label, group=group, why_not=PRINTED_ONLY, published=printed.metrics
        )
    return replace(counting_methods.row(id, printed.label, ran, printed.metrics), group=group)
