"""Real motion: the methods of Table 3 on UI-PRMD, and models trained on the preset's data alone on UI-PRMD and on CMU.

Paper: none, a table of our own. FLAG3D++ tests on unseen actions of its own recordings.
Command: flag3d table transfer --preset tiny
Expected time: hours on two cores for UI-PRMD's own models; the transferred ones are Table 3's and take minutes.
Expected output: learned methods below KNN on UI-PRMD. What carries over from synthetic to real motion is a finding, not an
expectation. Groups whose data are not here say how to read them in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from experiments import counting_methods, protocol
from experiments.counting_methods import UNTRAINED, Asked
from flag3d_ray.paper import published
from flag3d_ray.run import Run
from flag3d_ray.tables import Row, Table

NAME = "transfer"
TITLE = "Real motion and transfer"
REAL, CLIPS = "ui_prmd", "cmu_exercise"
PERSONS = "(a) UI-PRMD, unseen persons"
MOVEMENTS = "(b) UI-PRMD, unseen movements"
NOTES = (
    "Groups (a) and (b): trained on UI-PRMD. (a) tests persons 6 and 7, (b) two movements by everybody.",
    "Groups (c) and (d): trained on {trained} and judged as they are, on the test clips of (a), and on the intervals of CMU's "
    "exercises that are counted with high confidence, whole. Methods that train on nothing stand in (a) and (d) alone.",
    "CMU's exercises have to be read in as the skeleton that the models know: flag3d data ingest cmu_exercise PATH --layout "
    "flag3d24.",
    "Captions of UI-PRMD and CMU are this project's own words, of level 1.",
)


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """Four groups of rows; `dataset` is what the transferred models are trained on."""
    size = protocol.preset(preset)
    trained = dataset or size.dataset
    asked = Asked(size=size, dataset=REAL, seeds=seeds, text_encoder=text_encoder)
    persons = counting_methods.runs(asked)
    movements = counting_methods.runs(replace(asked, split="by_action"))
    learned = _trained(counting_methods.runs(replace(asked, dataset=trained)))
    clips = counting_methods.runs(replace(asked, dataset=CLIPS))
    on_real = {id: _moved(size, runs, REAL) for id, runs in learned.items()}
    on_clips = {id: _moved(size, learned[id], CLIPS) if id in learned else runs for id, runs in clips.items()}
    return Table(
        name=NAME,
        title=TITLE,
        dataset=trained,
        preset=size.name,
        rows=(
            *_rows(persons, PERSONS, "persons"),
            *_rows(movements, MOVEMENTS, "movements"),
            *_rows(on_real, f"(c) {trained} to UI-PRMD, unseen persons", "ui_prmd"),
            *_rows(on_clips, f"(d) {trained} to CMU exercises", "cmu"),
        ),
        notes=(*(note.format(trained=trained) for note in NOTES), *protocol.notes(size, REAL)),
    )


def _trained(runs: Mapping[str, tuple[Run, ...]]) -> dict[str, tuple[Run, ...]]:
    return {id: ran for id, ran in runs.items() if id not in UNTRAINED}


def _moved(size: protocol.Preset, runs: Sequence[Run], dataset: str) -> tuple[Run, ...]:
    return tuple(protocol.transferred(size, run, dataset) for run in runs)


def _rows(ran: Mapping[str, tuple[Run, ...]], group: str, prefix: str) -> tuple[Row, ...]:
    """A row for each of the methods that were run, in the order and with the labels of Table 3."""
    labels = {str(row.arm["method"]): row.label for row in published(3).rows}
    return tuple(
        counting_methods.row(id, label, ran, group=group, prefix=f"{prefix}_")
        for id, label in labels.items()
        if id in ran
    )
