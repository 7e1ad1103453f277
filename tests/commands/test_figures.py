"""`flag3d figure`: pictures from networks that were built and not trained, on a tiny dataset in place of the demo's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from experiments import protocol
from flag3d_ray.commands import figures
from flag3d_ray.commands.launch import Launch
from flag3d_ray.commands.options import wide_console
from flag3d_ray.errors import RunError
from flag3d_ray.figures import pictures
from flag3d_ray.home import Home
from flag3d_ray.run import Resources, TrainSpec
from flag3d_ray.viz.feature_plot import COLOURS

Flag3d = Callable[..., Any]
WORDS = ("--preset", "demo", "--text-encoder", "lexical", "--executor", "local", "--no-track")


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset demo without a step of training."""
    recipe = replace(protocol.DEMO.recipe, train=TrainSpec(epochs=0))
    monkeypatch.setitem(protocol.PRESETS, "demo", replace(protocol.DEMO, recipe=recipe, warm_start=None))


def has_both_colours(path: Path) -> bool:
    pixels = imread(path)[..., :3]
    inked = [(np.abs(pixels - np.array(to_rgb(colour))).max(axis=-1) < 0.02).sum() for colour in COLOURS]
    return min(inked) > 300


@pytest.mark.slow
def test_figures_are_drawn_from_two_runs_of_table_3_and_shown_in_its_report(
    flag3d: Flag3d, home: Home, tmp_path: Path
) -> None:
    assert flag3d("figure", 8, *WORDS, "--home", home.root).code == 0
    keys = [folder.key for folder in home.store]
    assert len(keys) == 2
    said = flag3d("figure", 9, *WORDS, "--graph", "data", "--home", home.root)
    assert said.code == 0
    assert [folder.key for folder in home.store] == keys, "the same two runs"
    features, weights = pictures(home.local / "figures")
    for picture in (features, weights):
        assert set(picture.runs) == set(keys)
        assert has_both_colours(picture.path)
        assert "synthetic - not comparable" in picture.caption
    assert str(weights.path) in said.out
    assert weights.path.name.endswith("_data_source.png")

    listed = tmp_path / "list.csv"
    listed.write_text("sample_id\nA001-S01\n")
    fewer = flag3d("figure", 8, *WORDS, "--exclude", listed, "--home", home.root)
    assert fewer.code == 0
    assert len(list(home.store)) == 4, "other runs"
    (other,) = (picture for picture in pictures(home.local / "figures") if not set(picture.runs) & set(keys))
    assert other.path.stem.split("_without-")[1] in other.caption

    table = ("table", 3, "--preset", "demo", "--no-run", "--home", home.root)
    assert flag3d(*table, "--seeds", 0, "--text-encoder", "lexical").code == 0
    (page,) = home.tables.glob("*.html")
    assert page.read_text(encoding="utf-8").count('<img src="data:image/png;base64,') == 2
    assert flag3d(*table, "--seeds", 1, "--text-encoder", "lexical").code == 0
    assert "<img" not in page.read_text(encoding="utf-8"), "drawn from runs of another seed"


def test_a_picture_is_written_and_said_where_mlflow_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def log_figures(folder: Path, place: Any) -> None:
        raise RunError(where="MLflow", rule="no answer", remedy="flag3d track --fill")

    monkeypatch.setattr("flag3d_ray.tracking.log_figures", log_figures)
    launch = Launch(Home(tmp_path), Resources(), wide_console())
    compared: Any = {"HL-RAC": SimpleNamespace(key="abc"), "TransRAC": SimpleNamespace(key="def")}
    figures._write(Figure(figsize=(1, 1)), "figure08.png", "caption", compared, launch)
    assert [picture.runs for picture in pictures(tmp_path / "figures")] == [("abc", "def")]
    assert "not in MLflow (no answer): flag3d track --fill" in capsys.readouterr().out


def test_track_gives_a_new_mlflow_the_figures_too(
    flag3d: Flag3d, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = []
    monkeypatch.setattr("flag3d_ray.tracking.fill_view", lambda store, place, methods: [])
    monkeypatch.setattr("flag3d_ray.tracking.log_figures", lambda folder, place: given.append(folder))
    assert flag3d("track", "--fill", "--home", tmp_path).code == 0
    assert given == [tmp_path / "figures"]


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ((8, "--fusion", "film"), "use one of addition, cross_attention, multiplication"),
        ((9, "--graph", "half"), "use whole or data"),
        ((9, "--end", "middle"), "use source or target"),
        ((8, "--budget", "soon"), "90s"),
        ((8, "--preset", "huge"), "choose one of demo, tiny, counter, paper"),
        ((8, "--text-encoder", "elmo"), "choose one of: bert, clip, minilm, lexical"),
        ((7,), "No such command '7'"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_wrong_word_is_answered_with_the_right_ones(
    flag3d: Flag3d, tmp_path: Path, words: tuple[object, ...], remedy: str
) -> None:
    said = flag3d("figure", words[0], *words[1:], *(("--home", tmp_path / "home") if len(words) > 1 else ()))
    assert said.code == 2
    assert remedy in said.err
    assert not (tmp_path / "home").exists()
