"""Names and texts from outside stay text: on the terminal, in paths, and in what MLflow keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.errors import DataError
from flag3d_ray.home import Home

Flag3d = Callable[..., Any]
SCRIPT = '<script>alert(1)</script><img src=x onerror="alert(1)">'
MARKUP = "[red]of[/] [/nothing] :smile:"
ESCAPES = "\x1b]0;title\x07\x1b[2J"
OUTSIDE = ("../up", "a/../../up", "/abs", "..", ".", ".hidden", "-f", "a b", "a\nb", "a\0b", "a\\b", "é", "", "x" * 101)


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_home_has_no_dataset_whose_folder_would_lie_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="not a name for a dataset"):
        Home(tmp_path).dataset(name)


@pytest.mark.parametrize(
    "command",
    [
        "data check NAME",
        "data splits NAME",
        "data splits NAME --draw by_action",
        "table 2 --dataset NAME",
        "table 3 --preset demo --seeds 0 --no-run --dataset NAME",
        "train fourier --preset demo --no-track --dataset NAME",
    ],
)
def test_a_dataset_outside_of_the_home_is_never_looked_at(
    flag3d: Flag3d, tmp_path: Path, command: str, write_tiny: Callable[[Path], None]
) -> None:
    write_tiny(tmp_path / "up")
    before = tree(tmp_path)
    said = flag3d(*command.replace("NAME", "../../up").split(), "--home", tmp_path / "home")
    assert said.code == 2
    assert "'../../up'" in said.err
    assert tree(tmp_path) - before <= {tmp_path / "home"}


def test_errors_are_printed_as_text(flag3d: Flag3d, tmp_path: Path) -> None:
    said = flag3d("count", tmp_path / f"{MARKUP}{ESCAPES}.npz", "--method", "fourier")
    assert said.code == 2
    assert MARKUP in said.err
    assert "\x1b" not in said.err
    assert "\x07" not in said.err


def test_splits_of_others_are_printed_as_text(
    flag3d: Flag3d, tmp_path: Path, write_tiny: Callable[[Path], None]
) -> None:
    home = Home(tmp_path)
    write_tiny(home.dataset("tiny"))
    path = home.dataset("tiny") / "splits" / "by_action.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rule": MARKUP + ESCAPES}))
    said = flag3d("data", "splits", "tiny", "--home", tmp_path)
    assert said.code == 0, said.err
    assert all(word in said.out for word in MARKUP.split())
    assert "\x1b" not in said.out


@pytest.mark.slow
def test_mlflow_keeps_hostile_texts_as_texts_and_writes_inside_its_folder(tmp_path: Path) -> None:
    from flag3d_ray.methods.counting.random_count import Random
    from flag3d_ray.progress import Cell
    from flag3d_ray.run import DataSpec, Run, to_json
    from flag3d_ray.tracking import EXPERIMENT, MlflowView
    from flag3d_ray.tracking.connect import Place, connect

    home = Home(tmp_path / "home")
    hostile = f"{SCRIPT} ../../../../etc/passwd %2e%2e"
    run, folder = Run(method=Random(), data=DataSpec(dataset=hostile)), home.store.folder("key0")
    folder.write_record(run=to_json(run), status="failed", reason=hostile, digests={"dataset": "d" * 64})
    view = MlflowView(home.mlflow_uri, home.local / "mlruns", EXPERIMENT, hostile)
    view.close([Cell(run, folder, "failed", detail=hostile)])
    assert view.problem == ""

    client = connect(Place(home.mlflow_uri, home.local / "mlruns"))
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (child,) = [found for found in runs if "flag3d.key" in found.data.tags]
    assert child.data.tags["flag3d.reason"] == hostile
    assert {found.data.tags["flag3d.group"] for found in runs} == {hostile}
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
