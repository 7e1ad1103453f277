"""`flag3d data convert` and `flag3d data template`, run as plain commands."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from flag3d_ray.commands import data_convert
from flag3d_ray.commands.data_convert import read_labels
from flag3d_ray.data.readers import open_format, pyskl
from flag3d_ray.errors import DataError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(data_convert.convert)
app.command()(data_convert.template)


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def released(path: Path, **changed) -> Path:
    one = {"label": 0, "total_frames": 3, "keypoint": np.ones((1, 3, 25, 3), np.float16)} | changed
    annotations = [one | {"frame_dir": f"S001C001P00{person}R001A001"} for person in (1, 2, 3)]
    names = [annotation["frame_dir"] for annotation in annotations]
    content = {"split": {"xsub_train": names[:2], "xsub_val": names[2:]}, "annotations": annotations}
    path.write_bytes(pickle.dumps(content))
    return path


def test_a_known_release_is_converted_described_and_ready_to_ingest(tmp_path):
    said = run("convert", released(tmp_path / "ntu.pkl"), tmp_path / "open", "--dataset", "ntu60_3d")
    assert said.exit_code == 0
    assert f"{tmp_path / 'open'}: 3 sequences, 1 classes, layout ntu25" in said.output
    assert "split xsub: 2 train, 1 test" in said.output
    assert said.output.splitlines()[-1] == f"  flag3d data ingest ntu60_3d {tmp_path / 'open'}"
    assert len(list(pyskl.NTU60_3D.reader.read(tmp_path / "open"))) == 3


def test_without_a_dataset_it_says_what_to_fill_in(tmp_path):
    said = run("convert", released(tmp_path / "ntu.pkl", total_frames=4), tmp_path / "open")
    assert said.exit_code == 0
    assert "dataset.json (description, limits, licence, unit, up, handedness, fps), then:" in said.output
    assert "note: 3 sequences say another total_frames" in said.output
    assert f"flag3d data ingest open {tmp_path / 'open'}" in said.output


def test_names_of_classes_come_from_a_text_file(tmp_path):
    (tmp_path / "labels.txt").write_bytes("\ufeffWinken\r\nVerbeugen – zweimal\r\n\r\n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("Winken", "Verbeugen – zweimal")
    source = released(tmp_path / "ntu.pkl")
    said = run(
        "convert",
        source,
        tmp_path / "open",
        "--dataset",
        "ntu60_3d",
        "--labels",
        tmp_path / "labels.txt",
    )
    assert said.exit_code == 0
    assert {item.row.action for item in open_format.find(tmp_path / "open")} == {"Winken"}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("nowhere.pkl", "open"), "no such file"),
        (("ntu.pkl", "open", "--dataset", "kinetics"), "choose one of flag3d_2d"),
        (("ntu.pkl", "open", "--dataset", "ntu60_3d", "--layout", "smpl24"), "leave out --layout"),
        (("ntu.pkl", "open", "--layout", "smpl24"), "layout smpl24 has"),
        (("ntu.pkl", "open", "--labels", "nothing.txt"), "name a text file"),
        (("ntu.pkl", "open", "--labels", "gap.txt"), "line 2: no name"),
        (("ntu.pkl", "there"), "exists already"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(tmp_path, monkeypatch, words, rule):
    monkeypatch.chdir(tmp_path)
    released(tmp_path / "ntu.pkl")
    (tmp_path / "gap.txt").write_text("one\n\nthree\n")
    (tmp_path / "there").mkdir()
    said = run("convert", *words)
    assert isinstance(said.exception, DataError)
    assert rule in str(said.exception)
    assert not (tmp_path / "open").exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_ctrl_c_ends_with_a_sentence_and_nothing_written(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("flag3d_ray.data.convert.write_open", interrupted)
    said = run("convert", released(tmp_path / "ntu.pkl"), tmp_path / "open")
    assert said.exit_code == 130
    assert "Interrupted: nothing was written." in said.output


def test_a_template_is_written_and_the_next_command_is_named(tmp_path):
    said = run("template", tmp_path / "mine", "--layout", "ntu25")
    assert said.exit_code == 0
    assert f"flag3d data ingest open {tmp_path / 'mine'}" in said.output
    assert len(list(open_format.reader(tmp_path / "mine").read(tmp_path / "mine"))) == 6


@pytest.mark.parametrize("command", ["convert", "template"])
def test_the_help_has_an_example(command):
    said = run(command, "--help")
    assert f"Example: flag3d data {command}" in said.output
