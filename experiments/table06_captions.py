"""Table 6: how much the caption says, for HL-RAC with cross-attention.

Paper: FLAG3D++, Section 5.1, Table 6. Its level 1 is Table 3's HL-RAC_C.
Command: flag3d table 6 --preset tiny
Expected time: see the README; level 1 is shared with Tables 3 and 4.
Expected output: three rows that differ in the caption only. The paper's best is level 2.
"""

from collections.abc import Sequence

from experiments import protocol
from flag3d_ray.paper import published
from flag3d_ray.tables import Row, Table

NUMBER = 6


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """One row per caption level; `dataset` and `text_encoder` replace the preset's."""
    size, printed = protocol.preset(preset), published(NUMBER)
    dataset = dataset or size.dataset
    method = protocol.hl_rac(size, "cross_attention")
    rows = []
    for level in protocol.LEVELS:
        row = printed.row(caption_level=level)
        run = protocol.learned(size, dataset, method, protocol.text(size, text_encoder, level))
        runs = tuple(run.with_seed(seed) for seed in seeds)
        rows.append(Row(method=f"level_{level}", label=row.label, runs=runs, published=row.metrics))
    return Table(
        name=str(NUMBER),
        title=printed.title,
        dataset=dataset,
        preset=size.name,
        rows=tuple(rows),
        notes=protocol.notes(size, dataset),
    )
