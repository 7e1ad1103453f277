"""What each group of variation in random motions is worth on real motion: removed one at a time, and all at once.

Paper: none, a table of our own.
Command: flag3d table variation --preset tiny
Expected time: about five minutes of one core per arm and seed, besides a minute to make each of the eight datasets.
Expected output: which variation carries over from synthetic to real motion is a finding, not an expectation. Rows near the
last one, plain sinusoids, would say that the removed group is what carries over. Groups whose data are not here say how to
read them in.
"""

from collections.abc import Mapping, Sequence

from experiments import protocol
from experiments.protocol import Preset
from flag3d_ray.data.synthetic import variation
from flag3d_ray.errors import RunError
from flag3d_ray.run import Run
from flag3d_ray.tables import Row, Table

NAME = "variation"
TITLE = "Variation of random motions"
LABELS: Mapping[str, str] = {
    "procedural": "All variation",
    **{f"procedural-no-{group}": f"Without {group}" for group in variation.GROUPS},
    "procedural-plain": "Plain sinusoids",
}
"""Dataset that a row is trained on -> its label."""
TESTS: Mapping[str, str] = {
    "ui_prmd": "(a) to UI-PRMD, unseen persons",
    "cmu_exercise": "(b) to CMU exercises",
}
"""Real dataset -> the group of rows that are tested on it."""
NOTES = (
    "Every row is TransRAC, trained on random motions alone and judged as it is: on the test persons of UI-PRMD, one window of "
    f"every count from 1 to {protocol.CROPS} per recording, and on CMU's intervals, whole. They are the test clips of table "
    "transfer.",
    "The motions of two rows differ in what was removed only: all other random numbers of a clip are the same.",
    "Training starts from random weights, and the last weights are judged: a network that has not begun to count by then stays "
    "in the table, and gives every clip few repetitions.",
    "CMU's exercises have to be read in as the skeleton that the models know: flag3d data ingest cmu_exercise PATH --layout "
    "flag3d24.",
)


def table(
    *, preset: str = "tiny", dataset: str = "", seeds: Sequence[int] = protocol.SEEDS, text_encoder: str = ""
) -> Table:
    """A group of rows per real dataset; `text_encoder` changes nothing, since no row reads text.

    Raises:
        RunError: a dataset is asked for: the rows are about their own.
    """
    if dataset:
        rule = "table variation trains on random motions, a dataset per row"
        raise RunError(where=f"--dataset {dataset}", rule=rule, remedy="leave it out, or use table transfer")
    size = protocol.preset(preset)
    return Table(
        name=NAME,
        title=TITLE,
        dataset="procedural",
        preset=size.name,
        rows=tuple(
            Row(
                method=f"{real}_{trained}".replace("-", "_"),
                label=label,
                group=group,
                runs=tuple(_moved(size, trained, real, seed) for seed in seeds),
            )
            for real, group in TESTS.items()
            for trained, label in LABELS.items()
        ),
        notes=NOTES,
    )


def _moved(size: Preset, trained: str, real: str, seed: int) -> Run:
    """The network without text, trained on a dataset's random motions and judged as it is on real ones."""
    run = protocol.learned(size, trained, protocol.transrac(size), seed=seed)
    return protocol.transferred(size, run, real)
