"""Table 4: what crop augmentation and the text encoder contribute to HL-RAC with cross-attention.

Paper: FLAG3D++, Section 5.1, Table 4. Its rows "w. data augmentation" and "BERT" are the same run.
Command: flag3d table 4 --preset tiny
Expected time: see the README; the base run is shared with Table 3.
Expected output: a lower MAE with augmentation. BERT and CLIP are `not run` where their weights are not within reach;
two encoders of our own, MiniLM and a lexical one without weights, stand beside them.
"""

from collections.abc import Sequence
from dataclasses import replace

from experiments import protocol
from flag3d_ray.paper import published
from flag3d_ray.run import Run, Text
from flag3d_ray.tables import Row, Table

NUMBER = 4
METRICS = ("mae", "obo/1", "obo/avg")
AUGMENTATION = "(a) Data Augmentation"
ENCODER = "(b) Text Encoder in HL-GCN"
ENCODERS = {"clip": "CLIP", "bert": "BERT", "minilm": "MiniLM (ours)", "lexical": "Lexical (ours)"}


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """Both parts; part (a) uses `text_encoder`, or the preset's."""
    size, printed = protocol.preset(preset), published(NUMBER)
    dataset = dataset or size.dataset
    base = base_run(preset, dataset, text_encoder)
    rows = (*_augmentation(base, seeds), *_encoders(base, seeds))
    return Table(
        name=str(NUMBER),
        title=printed.title,
        dataset=dataset,
        preset=size.name,
        rows=rows,
        metrics=METRICS,
        notes=protocol.notes(size, dataset),
    )


def base_run(preset: str, dataset: str, text_encoder: str = "") -> Run:
    """The run that every arm differs from in one field: Table 3's HL-RAC_C, seed 0."""
    size = protocol.preset(preset)
    method = protocol.hl_rac(size, "cross_attention")
    return protocol.learned(size, dataset, method, protocol.text(size, text_encoder))


def without_augmentation(base: Run) -> Run:
    """Trained on whole sequences only, its warm start too; still tested on the crops, so that only training differs."""
    start = base.init_from
    if base.parent is not None:
        start = replace(base.parent, data=replace(base.parent.data, crops=1))
    return replace(base, data=replace(base.data, crops=1), init_from=start)


def with_encoder(base: Run, encoder: str) -> Run:
    """The base run reading another encoder's embeddings."""
    language = base.data.text or Text()
    return replace(base, data=replace(base.data, text=replace(language, encoder=encoder)))


def _augmentation(base: Run, seeds: Sequence[int]) -> tuple[Row, ...]:
    encoder = base.data.text.encoder if base.data.text else ""
    arms = (
        ("augmentation_off", "w/o data augmentation", without_augmentation(base), "tested on crops like every row"),
        ("augmentation_on", "w. data augmentation", base, f"text encoder {encoder}; the paper's is BERT"),
    )
    return tuple(
        Row(
            method=id,
            label=label,
            group=AUGMENTATION,
            runs=_seeded(run, seeds),
            note=note,
            published=published(NUMBER).row(factor=AUGMENTATION, level=label).metrics,
        )
        for id, label, run, note in arms
    )


def _encoders(base: Run, seeds: Sequence[int]) -> tuple[Row, ...]:
    printed = {str(row.arm["level"]): row.metrics for row in published(NUMBER).rows if row.arm["factor"] == ENCODER}
    return tuple(
        Row(
            method=f"encoder_{encoder}",
            label=label,
            group=ENCODER,
            runs=_seeded(with_encoder(base, encoder), seeds),
            published=printed.get(label, {}),
        )
        for encoder, label in ENCODERS.items()
    )


def _seeded(run: Run, seeds: Sequence[int]) -> tuple[Run, ...]:
    return tuple(run.with_seed(seed) for seed in seeds)
