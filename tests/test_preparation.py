"""Files of weights in a home: kept by their content, checked before a run starts."""

import pytest
import torch
from torch import nn

from flag3d_ray.errors import RunError
from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.preparation import keep_weights, prepare_weights
from flag3d_ray.run import Resources, Weights
from flag3d_ray.training import packaged
from flag3d_ray.training.checkpoint import load_tensors, save_tensors


def saved(path, width: int = 3):
    save_tensors(path, nn.Linear(width, 2).state_dict())
    return path


def test_a_file_is_kept_once_under_its_digest(tmp_path):
    home, file = Home(tmp_path / "home"), saved(tmp_path / "a.safetensors")

    first, again = keep_weights(file, home), keep_weights(file, home)

    assert first == again
    assert home.weights(first.sha256).read_bytes() == file.read_bytes()
    assert len(list((home.root / "weights").iterdir())) == 1


def test_what_is_not_safetensors_is_not_kept(tmp_path):
    home, file = Home(tmp_path / "home"), tmp_path / "weights.pt"
    file.write_bytes(b"\x80\x04K\x01.")

    with pytest.raises(RunError, match="not a readable safetensors file"):
        keep_weights(file, home)
    assert not (home.root / "weights").exists()


def test_a_run_whose_file_is_missing_says_how_to_name_it(tmp_path, tiny_run):
    with pytest.raises(RunError, match=r"no such file of weights in this home.*--init-from FILE"):
        prepare_weights([tiny_run(init_from=Weights(sha256="0" * 64))], Home(tmp_path))


def test_a_kept_file_that_has_changed_is_refused(tmp_path, tiny_run):
    home = Home(tmp_path / "home")
    kept = keep_weights(saved(tmp_path / "a.safetensors"), home)
    saved(home.weights(kept.sha256), width=4)

    with pytest.raises(RunError, match="has changed since it was stored"):
        prepare_weights([tiny_run(init_from=kept)], home)


def test_the_network_of_the_package_is_put_into_the_home(tmp_path, tiny_run, monkeypatch):
    folder, home = tmp_path / "counter", Home(tmp_path / "home")
    weights = keep_weights(saved(folder / packaged.MODEL), Home(tmp_path / "elsewhere"))
    monkeypatch.setattr("flag3d_ray.preparation.packaged_model", {weights.sha256: folder / packaged.MODEL}.get)

    prepare_weights([tiny_run(init_from=weights)], home)

    assert home.weights(weights.sha256).read_bytes() == (folder / packaged.MODEL).read_bytes()


def test_a_run_that_starts_from_a_file_is_trained_on(tiny_home, tiny_run, tmp_path):
    (source,) = ensure([tiny_run(epochs=1, max_clips_per_epoch=8)], tiny_home, Resources(executor="local"))
    kept = keep_weights(source.folder.model, tiny_home)

    run = tiny_run(epochs=1, max_clips_per_epoch=8, seed=1, init_from=kept)
    (cell,) = ensure([run], tiny_home, Resources(executor="local"))

    assert cell.state == "finished"
    assert cell.folder.record()["digests"]["init_from"] == kept.sha256
    theirs, ours = load_tensors(source.folder.model)[0], load_tensors(cell.folder.model)[0]
    assert not all(torch.equal(theirs[name], ours[name]) for name in theirs)
