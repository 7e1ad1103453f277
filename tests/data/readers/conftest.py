"""What the tests of several readers share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data import catalogue
from flag3d_ray.data.dataset import Dataset, open_dataset
from flag3d_ray.data.reader import Reader
from flag3d_ray.data.schema import content_hash


@pytest.fixture
def ingested(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Ingests a copy and compares what is stored with what the reader loads: joints, intervals, labels and texts."""

    def ingest(reader: Reader, root: Path) -> Dataset:
        monkeypatch.setitem(catalogue.READERS, "under_test", reader)
        folder = tmp_path_factory.mktemp("home") / "ingested"
        catalogue.read_in("under_test", root, folder)
        dataset = open_dataset(folder)
        for loaded, stored in zip(reader.read(root), dataset, strict=True):
            np.testing.assert_allclose(stored.joints_MTVC, loaded.joints_MTVC, rtol=0, atol=1e-6)
            assert stored.reps_R2.tolist() == loaded.reps_R2.tolist()
            assert content_hash(stored) == content_hash(loaded)
        return dataset

    return ingest
