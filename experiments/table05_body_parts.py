"""Table 5: repetition action counting by the body part that an activity trains.

Paper: FLAG3D++, Section 5.1, Table 5: nine of the ten body parts in seven columns. No tested activity trains "multiple
parts", so these have none. Table 3's numbers are the means of these, weighted by the columns' clips.
Command: flag3d table 5 --preset tiny
Expected time: seconds after Table 3, whose runs these are.
Expected output: Table 3 taken apart. A column of one activity says how that activity is counted, and no more.
"""

from collections.abc import Sequence
from dataclasses import replace

from experiments import protocol, table03_counting
from flag3d_ray.paper import published
from flag3d_ray.tables import Slice, Table

NUMBER = 5
METRICS = ("mae", "obo/1")
BODY_PARTS = (
    Slice(id="chest_back", label="Chest & Back", body_parts=("chest", "back")),
    Slice(id="shoulder", label="Shoulder", body_parts=("shoulder",)),
    Slice(id="arm", label="Arm", body_parts=("arm",)),
    Slice(id="neck_abdomen", label="Neck & Abdomen", body_parts=("neck", "abdomen")),
    Slice(id="waist", label="Waist", body_parts=("waist",)),
    Slice(id="hip", label="Hip", body_parts=("hip",)),
    Slice(id="leg", label="Leg", body_parts=("leg",)),
)


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """Table 3's rows, each scored in seven columns."""
    whole = table03_counting.table(preset=preset, dataset=dataset, seeds=seeds, text_encoder=text_encoder)
    return replace(
        whole,
        name=str(NUMBER),
        title=published(NUMBER).title,
        rows=tuple(replace(row, published=_printed(row.method)) for row in whole.rows),
        metrics=METRICS,
        slices=BODY_PARTS,
    )


def _printed(method: str) -> dict[str, float]:
    """Column -> printed number of a method."""
    return {
        f"{part.id}/{metric}": value
        for part in BODY_PARTS
        for metric, value in published(NUMBER).row(method=method, body_part=part.id).metrics.items()
    }
