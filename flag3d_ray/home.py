"""Where everything lives: one folder with the datasets, the runs, the embedding cache and the MLflow view."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flag3d_ray.data.workplace import check_dataset_name
from flag3d_ray.store import Store

DEFAULT = ".flag3d"
VARIABLE = "FLAG3D_HOME"


@dataclass(frozen=True)
class Home:
    """Paths under one root: `data/NAME`, `runs/KEY`, `weights/`, `text/`, `studies.db`, `mlflow.db`."""

    root: Path

    @classmethod
    def at(cls, root: Path | str | None = None) -> "Home":
        """The folder asked for, else `$FLAG3D_HOME`, else `.flag3d` in the current folder. Nothing is created."""
        return cls(Path(root or os.environ.get(VARIABLE) or DEFAULT).absolute())

    @cached_property
    def store(self) -> Store:
        """The runs."""
        return Store(self.root / "runs")

    @property
    def data(self) -> Path:
        """The folders of all datasets."""
        return self.root / "data"

    @property
    def text(self) -> Path:
        """Cached text embeddings."""
        return self.root / "text"

    def weights(self, sha256: str) -> Path:
        """A checkpoint file that runs start from, named by its content (`preparation.keep_weights`)."""
        return self.root / "weights" / f"{sha256}.safetensors"

    @property
    def changes(self) -> Path:
        """Uncommitted changes of the source that runs were computed with, as patches (`provenance.keep_changes`)."""
        return self.root / "changes"

    @property
    def tables(self) -> Path:
        """Rendered tables."""
        return self.root / "tables"

    @property
    def mlflow_uri(self) -> str:
        """The tracking database: `$MLFLOW_TRACKING_URI` where a server is set, else SQLite in this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow.db'}"

    def dataset(self, name: str) -> Path:
        """The folder of a dataset.

        Raises:
            DataError: no name that a folder can have; it could lead out of the home.
        """
        return self.data / check_dataset_name(name)
