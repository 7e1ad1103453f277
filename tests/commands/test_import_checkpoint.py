"""`flag3d import-checkpoint`, run as a plain command."""

import json
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from flag3d_ray.commands.import_checkpoint import import_checkpoint
from flag3d_ray.errors import DataError
from flag3d_ray.methods.base import Shapes
from flag3d_ray.methods.counting.hl_rac import HLRAC, RELEASED
from flag3d_ray.methods.counting.released_weights import GRAPH, POSITIONS, released_names
from flag3d_ray.models.density_head import sinusoids
from flag3d_ray.training.checkpoint import load_tensors

METHOD = HLRAC(profile=RELEASED, widths=(4, 4), similarity_width=2, model_width=8, feed_forward=8, layers=1)
SHAPES = Shapes(frames=16, layout="flag3d24", text_width=6)
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(import_checkpoint)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def released(path: Path, **changed: torch.Tensor) -> Path:
    """A checkpoint of zeros with the released names."""
    tensors = {GRAPH: torch.zeros(3, 24, 24), POSITIONS: sinusoids(16, 8)[:, None].contiguous()}
    for name, value in METHOD.build(SHAPES, 0).state_dict().items():
        names = released_names(name)
        for each in names:
            shape = (value.shape[0] // len(names), *value.shape[1:]) if value.ndim else value.shape
            tensors[each] = torch.zeros((1,) if name.endswith("alpha") else shape, dtype=value.dtype)
    save_file(tensors | changed, path)
    return path


def test_weights_and_a_card_to_fill_in_are_written(tmp_path):
    said = run(released(tmp_path / "test_rac.safetensors"), "--out", tmp_path / "imported")
    assert said.exit_code == 0, said.output
    assert "profile released" in said.output
    assert "16 frames, text width 6, widths 4, 4" in said.output
    tensors, facts = load_tensors(tmp_path / "imported" / "model.safetensors")
    METHOD.build(SHAPES, 0).load_state_dict(tensors)
    card = json.loads((tmp_path / "imported" / "card.json").read_text())
    assert card["imported"] == facts["imported"]
    assert card["imported"]["file"] == "test_rac.safetensors"
    assert card["method"]["profile"]["axes"] == "scrambled"
    assert card["licence"] is None


def test_a_file_that_does_not_fit_leaves_nothing_and_a_folder_with_weights_is_left_alone(tmp_path):
    said = run(released(tmp_path / "odd.safetensors", extra=torch.zeros(1)), "--out", tmp_path / "imported")
    assert isinstance(said.exception, DataError)
    assert said.exception.where == str(tmp_path / "odd.safetensors")
    assert "unknown: extra" in said.exception.rule
    assert not (tmp_path / "imported").exists()
    (tmp_path / "card.json").write_text("mine")
    with pytest.raises(DataError, match="there is a file of that name"):
        raise run(released(tmp_path / "good.safetensors"), "--out", tmp_path).exception or AssertionError
    assert (tmp_path / "card.json").read_text() == "mine"
