"""What is kept of every sequence once it has been looked at."""

from dataclasses import asdict, dataclass
from sys import intern
from typing import Any

import pyarrow as pa

from flag3d_ray.data.findings import Finding
from flag3d_ray.sample import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a sequence stands, what it says of itself, and the number of its repetitions."""

    file: str
    row: str = ""
    sample_id: str
    source: str
    action_id: str
    action: str
    body_part: str
    subject: str
    view: str
    scene: str
    avatar: str
    take: int
    fps: float
    frames: int
    count: int

    @classmethod
    def of(cls, sample: Sample, file: str, row: str, count: int) -> "Entry":
        """The entry of a sequence; `count` is given, as repetitions that break a rule do not stand in the sample."""
        # Few different texts over many sequences: each is kept once.
        texts = {name: intern(getattr(sample, name)) for name in _TEXTS}
        numbers = {name: getattr(sample, name) for name in ("take", "fps", "frames")}
        return cls(file=file, row=row, sample_id=sample.sample_id, count=count, **texts, **numbers)

    @property
    def place(self) -> str:
        """File and row."""
        return ", ".join(filter(None, (self.file, self.row)))

    @property
    def name(self) -> str:
        """The sample id, with the file where that has another name."""
        return self.sample_id if self.row or self.sample_id in self.file else f"{self.sample_id} ({self.file})"

    def found(self, finding: Finding) -> Finding:
        """A finding about this sequence."""
        return finding.at(self.file, self.row, self.sample_id)

    def columns(self) -> dict[str, Any]:
        """What `INDEX` has columns for."""
        return {name: value for name, value in asdict(self).items() if name not in ("file", "row")}


_TEXTS = ("source", "action_id", "action", "body_part", "subject", "view", "scene", "avatar")
_NUMBERS = {"take": pa.int32(), "fps": pa.float64(), "frames": pa.int32(), "count": pa.int32()}
INDEX = pa.schema([(name, pa.string()) for name in ("sample_id", *_TEXTS)] + list(_NUMBERS.items()))
"""The columns of `Dataset.index`, with scene and avatar beside them."""
