"""Table 2's numbers of a dataset: how long its sequences are, how often their movement repeats, how they are scored."""

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float

from flag3d_ray.data.dataset import Dataset


@dataclass(frozen=True)
class Spread:
    """Mean, population standard deviation, smallest and largest value."""

    mean: float
    std: float
    min: float
    max: float

    @classmethod
    def of(cls, values_N: Float[np.ndarray, " n"]) -> "Spread":
        """The spread of at least one value."""
        return cls(float(values_N.mean()), float(values_N.std()), float(values_N.min()), float(values_N.max()))


@dataclass(frozen=True, eq=False)
class Summary:
    """Per-sequence values of a dataset, in row order.

    Attributes:
        name: the dataset's.
        durations_N: seconds, frames over frame rate.
        counts_N: repetitions; sequences without any annotated repetition are left out here.
        scores_N: Eq. 1, in [3, 9] for three standards; only sequences with key scores.
        actions, people: how many different ones.
        repetitions: over all sequences.
    """

    name: str
    durations_N: Float[np.ndarray, " n"]
    counts_N: Float[np.ndarray, " c"]
    scores_N: Float[np.ndarray, " s"]
    actions: int
    people: int

    @property
    def sequences(self) -> int:
        """How many there are."""
        return len(self.durations_N)

    @property
    def repetitions(self) -> int:
        """Annotated repetitions over all sequences."""
        return int(self.counts_N.sum())

    def metrics(self) -> dict[str, float]:
        """`duration/mean` to `count/max`, keyed as in the paper's Table 2; without counts only the durations."""
        values = {"duration": self.durations_N, "count": self.counts_N}
        spreads = {name: Spread.of(numbers) for name, numbers in values.items() if len(numbers)}
        return {f"{name}/{field}": value for name, spread in spreads.items() for field, value in vars(spread).items()}


def summarise(dataset: Dataset) -> Summary:
    """Read the index and the key scores of a dataset; joints are not touched."""
    index = dataset.index
    counts_N = index["count"].to_numpy().astype(float)
    return Summary(
        name=dataset.manifest.name,
        durations_N=index["frames"].to_numpy() / index["fps"].to_numpy(),
        counts_N=counts_N[counts_N > 0],
        scores_N=_scores(dataset),
        actions=len(index["action_id"].unique()),
        people=len(index["subject"].unique()),
    )


def _scores(dataset: Dataset) -> Float[np.ndarray, " s"]:
    """Eq. 1 per sequence with key scores: 6 + sum over standards of 2 mean(key) - 1."""
    scores: list[float] = []
    for shard in dataset.shards:
        rows = pq.read_table(shard, columns=["keys", "standards"])
        for keys, standards in zip(rows["keys"].to_pylist(), rows["standards"].to_pylist(), strict=True):
            if keys:
                keys_RS = np.array(keys, dtype=float).reshape(-1, len(standards))
                scores.append(6.0 + float((2.0 * keys_RS.mean(axis=0) - 1.0).sum()))
    return np.array(scores, dtype=float)
