"""A trained run as a folder of its own: what is exported is what is loaded, and nothing else is."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from experiments import protocol
from flag3d_ray import checkpoints
from flag3d_ray.data.clips import open_clips
from flag3d_ray.data.manifest import file_sha256
from flag3d_ray.errors import DataError, RunError
from flag3d_ray.home import Home
from flag3d_ray.methods.base import Trained
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.methods.counting.knn import KNN
from flag3d_ray.run import Run, to_json
from flag3d_ray.store import RunFolder
from flag3d_ray.training import packaged
from flag3d_ray.training.checkpoint import save_tensors
from flag3d_ray.training.fit import clip_spec, fit
from flag3d_ray.training.packaged import (
    export_checkpoint,
    find_checkpoint,
    load_checkpoint,
    run_shapes,
    what_to_name,
)

CARD = "# A counter\n\nTrained on tiny, seed 0.\n"


@pytest.fixture
def home(fresh_home: Callable[[], Home]) -> Home:
    return fresh_home()


@pytest.fixture
def stored(home: Home, tiny_run: Callable[..., Run]) -> Callable[..., RunFolder]:
    """A run in the store with the weights it was built with, or fitted."""

    def make(run: Run | None = None, key: str = "0123456789abcdef0123") -> RunFolder:
        run, folder = run or tiny_run(), home.store.folder(key)
        folder.write_record(run=to_json(run), status="fitted", label=run.label, digests={"text_encoder": ""})
        estimator = run.method.build(run_shapes(run, home), run.seed)
        if isinstance(estimator, nn.Module):
            save_tensors(folder.model, estimator.state_dict())
        else:
            fit(run, home, folder, lambda event: None)
        return folder

    return make


def test_an_exported_run_predicts_the_same_without_store_and_dataset(
    tmp_path: Path, home: Home, stored: Callable[..., RunFolder], tiny_run: Callable[..., Run]
) -> None:
    folder = export_checkpoint(stored(), tmp_path / "given" / "counter", CARD)
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.md",
        "manifest.json",
        "model.safetensors",
        "run.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["counter"], "nothing is left beside it"
    assert (folder / "card.md").read_text() == CARD
    moved = folder.rename(tmp_path / "elsewhere")
    found, kept = load_checkpoint(moved), load_checkpoint(home.store.folder("0123456789abcdef0123").path)
    assert found.run == kept.run == tiny_run()
    assert found.shapes == kept.shapes
    assert "elsewhere" in found.name
    batch = open_clips(clip_spec(found.run, home, "test")).batch(np.arange(4)).without_labels()
    assert isinstance(found.estimator, Trained)
    assert isinstance(kept.estimator, Trained)
    for one, other in zip(found.estimator.predict(batch), kept.estimator.predict(batch), strict=True):
        assert one.count == other.count


def test_shapes_are_those_of_the_clips(home: Home, tiny_run: Callable[..., Run]) -> None:
    for run in (tiny_run(), tiny_run(HLRAC(widths=(4,)))):
        assert run_shapes(run, home) == open_clips(clip_spec(run, home, "test")).shapes


def test_a_fitted_method_is_exported_too(tmp_path: Path, stored: Callable[..., RunFolder], tiny_run) -> None:
    folder = stored(tiny_run(KNN()))
    found = load_checkpoint(export_checkpoint(folder, tmp_path / "knn", CARD))
    assert not isinstance(found.estimator, nn.Module)
    assert found.estimator.state().keys() == load_checkpoint(folder.path).estimator.state().keys()  # type: ignore[union-attr]


def test_nothing_is_exported_over_something_or_without_a_card(tmp_path: Path, stored: Callable[..., RunFolder]) -> None:
    folder = stored()
    (tmp_path / "there").mkdir()
    with pytest.raises(RunError, match="exists already"):
        export_checkpoint(folder, tmp_path / "there", CARD)
    with pytest.raises(RunError, match="card"):
        export_checkpoint(folder, tmp_path / "new", " \n")
    folder.model.unlink()
    with pytest.raises(RunError, match="no model"):
        export_checkpoint(folder, tmp_path / "new", CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_an_export_that_fails_leaves_nothing(
    tmp_path: Path, stored: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        raise OSError(28, "no space left")

    folder = stored()
    monkeypatch.setattr(packaged, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        export_checkpoint(folder, tmp_path / "new", CARD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.safetensors", "run.json", "card.md"])
def test_a_file_that_was_changed_or_lost_is_refused(
    tmp_path: Path, stored: Callable[..., RunFolder], name: str
) -> None:
    folder = export_checkpoint(stored(), tmp_path / "counter", CARD)
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(RunError, match=f"{name} is missing or does not have the SHA-256"):
        load_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        load_checkpoint(folder)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, stored: Callable[..., RunFolder]) -> None:
    folder = export_checkpoint(stored(), tmp_path / "counter", CARD)
    save_tensors(folder / "model.safetensors", {"encoder.nothing": torch.zeros(2)})
    sign(folder)
    with pytest.raises(RunError, match="its weights do not fit its method"):
        load_checkpoint(folder)


def test_no_pickle_is_loaded(tmp_path: Path, stored: Callable[..., RunFolder]) -> None:
    folder = export_checkpoint(stored(), tmp_path / "counter", CARD)
    (folder / "model.safetensors").write_bytes(pickle.dumps({"encoder": 1}))
    sign(folder)
    with pytest.raises(RunError, match="not a readable safetensors file"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "change",
    [{"format": "flag3d-checkpoint/9"}, {"files": {"../secret": "0"}}, {"shapes": {"frames": 32}}, {"files": None}],
    ids=str,
)
def test_a_manifest_that_is_another_is_refused(
    tmp_path: Path, stored: Callable[..., RunFolder], change: dict[str, object]
) -> None:
    folder = export_checkpoint(stored(), tmp_path / "counter", CARD)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=r"manifest\.json does not name|format"):
        load_checkpoint(folder)


def test_a_record_that_is_no_run_is_refused(tmp_path: Path, stored: Callable[..., RunFolder]) -> None:
    folder = export_checkpoint(stored(), tmp_path / "counter", CARD)
    (folder / "run.json").write_text("[]")
    sign(folder)
    with pytest.raises(RunError, match="not a run"):
        load_checkpoint(folder)


def test_a_run_whose_dataset_is_gone_cannot_be_loaded_and_says_so(home: Home, stored: Callable[..., RunFolder]) -> None:
    folder = stored()
    home.dataset("tiny").unlink()
    with pytest.raises(DataError, match="no such dataset"):
        load_checkpoint(folder.path)


def test_folders_and_keys_are_found_by_their_beginnings(
    tmp_path: Path, home: Home, stored: Callable[..., RunFolder]
) -> None:
    one, other = stored(key="0123aaaa"), stored(key="0123bbbb")
    assert find_checkpoint("0123a", home) == one.path
    assert find_checkpoint(str(tmp_path), home) == tmp_path
    with pytest.raises(RunError, match="2 runs begin so") as several:
        find_checkpoint("0123", home)
    assert one.key in several.value.remedy
    assert other.key in several.value.remedy
    with pytest.raises(RunError, match="no run's key begins so"):
        find_checkpoint("", home)
    with pytest.raises(RunError, match="neither a packaged checkpoint"):
        load_checkpoint(tmp_path)


def test_without_any_network_the_remedy_trains_one(home: Home) -> None:
    assert "flag3d train transrac --preset tiny" in what_to_name(home)


@pytest.mark.parametrize("name", get_args(checkpoints.Packaged))
def test_a_network_of_the_package_is_whole_small_and_says_what_it_was_trained_on(name: checkpoints.Packaged) -> None:
    folder, weights = checkpoints.packaged(name), checkpoints.packaged_weights(name)
    assert folder is not None
    assert weights is not None

    found = load_checkpoint(folder)

    assert found.run.method == protocol.transrac(protocol.COUNTER)
    assert (found.shapes.layout, found.shapes.frames) == ("flag3d24", protocol.COUNTER.frames)
    assert checkpoints.packaged_model(weights.sha256) == folder / checkpoints.MODEL
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2 * 2**20
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert [
        word for word in ("synthetic-mixed", "MAE", "seed", "Licence of the weights: Apache-2.0") if word not in card
    ] == []


def test_no_network_of_the_package_has_a_digest_of_nothing() -> None:
    assert checkpoints.packaged_model("0" * 64) is None


def sign(folder: Path) -> None:
    """Write the SHA-256 of what is there into the manifest, as somebody who means harm would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {name: file_sha256(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest))
