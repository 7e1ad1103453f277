"""Where everything lies: one folder, or one URL, with the datasets, the runs, the embedding cache and the MLflow view."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flag3d_ray import storage
from flag3d_ray.data import remote
from flag3d_ray.data.workplace import check_dataset_name
from flag3d_ray.storage import StorePath
from flag3d_ray.store import Store

DEFAULT = ".flag3d"
VARIABLE = "FLAG3D_HOME"


@dataclass(frozen=True)
class Home:
    """Paths under one root: `data/NAME`, `runs/KEY`, `weights/`, `text/`, `studies.db`, `mlflow.db`.

    With a root at a URL the runs are read and written there. What never changes once it is written (datasets, weights,
    embeddings) is read from copies in `local`, and views (tables, figures, databases) lie there alone. Picklable: a process
    on another machine finds the same root, and a `local` of its own.
    """

    root: StorePath

    @classmethod
    def at(cls, root: Path | str | None = None) -> "Home":
        """The folder or URL asked for, else `$FLAG3D_HOME`, else `.flag3d` in the current folder. Nothing is created.

        Raises:
            RunError: there is no such bucket, or a package that reaches it is missing.
            StorageLost: the storage at the URL does not answer, or refuses.
        """
        found = storage.located(root or os.environ.get(VARIABLE) or DEFAULT)
        if not isinstance(found, Path):
            storage.require_reachable(found)
        return cls(found)

    @property
    def local(self) -> Path:
        """The folder of this machine with views and copies: the root itself, unless that is a URL."""
        return self.root if isinstance(self.root, Path) else storage.cache_folder(self.root)

    @property
    def is_remote(self) -> bool:
        """Whether the root is a URL."""
        return not isinstance(self.root, Path)

    @cached_property
    def store(self) -> Store:
        """The runs."""
        return Store(self.root / "runs")

    @property
    def data(self) -> Path:
        """The folders of all datasets; with a root at a URL, of their copies."""
        return self.local / "data"

    @property
    def text(self) -> Path:
        """Cached text embeddings; from a root at a URL, those that were there when this process first asked."""
        folder = self.local / "text"
        if not isinstance(self.root, Path):
            remote.pull_once(self.root / "text", folder)
        return folder

    def weights(self, sha256: str) -> Path:
        """A checkpoint file that runs start from, named by its content (`preparation.keep_weights`)."""
        file = self.local / "weights" / f"{sha256}.safetensors"
        if not isinstance(self.root, Path):
            remote.pull_file(self.root / "weights" / file.name, file)
        return file

    def share(self, folder: Path) -> None:
        """Upload the files of a folder of `local` that the URL lacks; with a root of this machine they are in place."""
        if not isinstance(self.root, Path):
            remote.push_missing(folder, self.root / folder.relative_to(self.local).as_posix())

    def share_lists(self, dataset: str) -> None:
        """Upload splits and exclusion lists that were added to a dataset's copy here."""
        if not isinstance(self.root, Path):
            remote.push_beside(self.dataset(dataset), self.root / "data" / dataset)

    @property
    def changes(self) -> StorePath:
        """Uncommitted changes of the source that runs were computed with, as patches (`provenance.keep_changes`)."""
        return self.root / "changes"

    @property
    def tables(self) -> Path:
        """Rendered tables."""
        return self.local / "tables"

    @property
    def mlflow_uri(self) -> str:
        """Where MLflow keeps its view: the server or database of `$MLFLOW_TRACKING_URI`, else SQLite in this folder."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.local / 'mlflow.db'}"

    def datasets(self) -> list[str]:
        """Names of the datasets that are here, sorted."""
        if not isinstance(self.root, Path):
            return remote.dataset_names(self.root / "data")
        return sorted(path.parent.name for path in self.data.glob("*/manifest.json"))

    def dataset(self, name: str) -> Path:
        """The folder of a dataset: of a root at a URL a whole copy, fetched when a process first asks for it.

        Raises:
            DataError: no name that a folder can have, which could lead out of the home; or the files at the URL do not have
                their manifest's digests.
        """
        place = self.data / check_dataset_name(name)
        return place if isinstance(self.root, Path) else remote.copy_of(self.root / "data" / name, self.data) or place

    @contextlib.contextmanager
    def new_dataset(self, name: str, *, force: bool = False) -> Iterator[Path]:
        """The folder to write a dataset to. At the end of the block it is in its place: for a URL it is uploaded then.

        Raises:
            DataError: it exists at the URL, and `force` is off.
        """
        if isinstance(self.root, Path):
            yield self.dataset(name)
            return
        with remote.built(self.root / "data" / check_dataset_name(name), self.data, force=force) as folder:
            yield folder
