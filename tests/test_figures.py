"""Figures as they are asked for, and pictures that say which runs they were drawn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from experiments import figure08_features, figure09_joint_weights, protocol, table03_counting
from flag3d_ray.figures import Networks, Picture, pictures, write_picture

DECLARED: list[Callable[..., Any]] = [figure08_features.figure, figure09_joint_weights.figure]


@pytest.mark.parametrize("figure", DECLARED)
@pytest.mark.parametrize("preset", protocol.PRESETS)
def test_a_figure_compares_runs_of_table_3(figure: Callable[..., Any], preset: str) -> None:
    networks: Networks = figure(preset=preset, seed=2, fusion="addition").networks
    table = table03_counting.table(preset=preset)
    assert {networks.guided, networks.text_free} <= set(table.runs())
    assert networks.group == table.group
    assert networks.guided.data.text is not None
    assert networks.text_free.data.text is None


@pytest.mark.parametrize("figure", DECLARED)
def test_figures_that_differ_in_a_setting_have_files_of_their_own(figure: Callable[..., Any]) -> None:
    changes = [{}, {"preset": "demo"}, {"seed": 1}, {"fusion": "addition"}, {"text_encoder": "lexical"}]
    assert len({figure(**change).file for change in changes}) == len(changes)


def test_definitions_of_a_weight_have_files_of_their_own() -> None:
    files = {
        figure09_joint_weights.figure(part=part, end=end).file
        for part in ("whole", "data")
        for end in ("source", "target")
    }
    assert len(files) == 4


def test_a_picture_says_its_caption_and_its_runs(tmp_path: Path) -> None:
    written = Picture(tmp_path / "figures" / "one.png", "Fig. 8: “features”, seed 0", ("abc", "def"))
    write_picture(Figure(figsize=(1, 1)), written)
    assert pictures(tmp_path / "figures") == [written]
    assert [path.name for path in written.path.parent.iterdir()] == ["one.png"], "whole, and nothing beside it"


def test_other_files_are_no_pictures_of_runs(tmp_path: Path) -> None:
    Figure(figsize=(1, 1)).savefig(tmp_path / "foreign.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and no more")
    assert pictures(tmp_path) == []
    assert pictures(tmp_path / "nothing here") == []


def test_a_picture_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Figure, path: Path, **options: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("the disk is gone")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="gone"):
        write_picture(Figure(), Picture(tmp_path / "one.png", "", ("abc",)))
    assert list(tmp_path.iterdir()) == []
