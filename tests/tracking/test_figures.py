"""Figures at the runs of a real MLflow that they were drawn from."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from flag3d_ray.errors import RunError
from flag3d_ray.figures import Picture, write_picture
from flag3d_ray.tracking import Place, log_figures
from flag3d_ray.tracking.connect import connect, find_experiment


@pytest.mark.slow
def test_a_picture_is_an_artifact_of_its_runs_in_every_group_and_written_once(tmp_path: Path) -> None:
    place, folder = Place(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns"), tmp_path / "figures"
    client = connect(place)
    id = find_experiment(client, place, "counting")
    runs = {name: client.create_run(id, tags={"flag3d.key": name[:3]}).info.run_id for name in ("abc", "abc2", "xyz")}
    for edge in (1, 2):  # drawn again, it takes the place of the older one
        write_picture(Figure(figsize=(edge, 1)), Picture(folder / "figure08.png", "caption", ("abc", "not there")))
        log_figures(folder, place, "counting")
    found = {name: [info.path for info in client.list_artifacts(run, "figures")] for name, run in runs.items()}
    assert found == {"abc": ["figures/figure08.png"], "abc2": ["figures/figure08.png"], "xyz": []}
    copy = Path(client.download_artifacts(runs["abc"], "figures/figure08.png", str(tmp_path)))
    assert copy.read_bytes() == (folder / "figure08.png").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mlruns").rglob("*.png")}
    log_figures(folder, place, "counting")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mlruns").rglob("*.png")} == before


def test_without_pictures_mlflow_is_left_alone(tmp_path: Path) -> None:
    log_figures(tmp_path / "figures", Place(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_mlflow_that_cannot_be_opened_is_said_with_what_to_do(tmp_path: Path) -> None:
    write_picture(Figure(figsize=(1, 1)), Picture(tmp_path / "one.png", "", ("abc",)))
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, and long enough to be taken for one" * 20)
    with pytest.raises(RunError, match="flag3d track --fill"):
        log_figures(tmp_path, Place(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlruns"))
