"""`flag3d count`: files, options, what is printed and written, and that no label is read."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from flag3d_ray import counting
from flag3d_ray.commands import count as command
from flag3d_ray.home import Home
from flag3d_ray.methods.counting.hl_rac import HLRAC
from flag3d_ray.run import Run, to_json
from flag3d_ray.skeleton import FLAG3D24
from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import save_tensors
from flag3d_ray.training.packaged import export_checkpoint, run_shapes

Flag3d = Callable[..., Any]
COUNT, SECONDS, FPS = 8, 12, 30


def person(seconds: float = SECONDS) -> np.ndarray:
    """Somebody who raises a hand eight times in twelve seconds; trunk of half a metre."""
    frames = int(seconds * FPS)
    joints_TVC = np.zeros((frames, len(FLAG3D24), 3), np.float32)
    for name, height in (("hip", 0.9), ("shoulder", 1.4)):
        for side, across in (("left", 0.15), ("right", -0.15)):
            joints_TVC[:, FLAG3D24.index(f"{side}_{name}")] = (across, height, 0.0)
    phase_T = 2 * np.pi * COUNT / SECONDS * np.arange(frames) / FPS
    joints_TVC[:, FLAG3D24.index("left_wrist"), 1] = 1.4 - 0.5 * np.cos(phase_T)
    return joints_TVC


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "waving.npz", joints=person(), fps=FPS)
    return tmp_path / "waving.npz"


@pytest.fixture
def home(fresh_home: Callable[[], Home]) -> Home:
    return fresh_home()


@pytest.fixture
def stored(home: Home, tiny_run: Callable[..., Run]) -> Callable[..., RunFolder]:
    """A network in the store with the weights it was built with."""

    def make(method=None, key: str = "0123456789abcdef0123", seed: int = 0) -> RunFolder:
        run, folder = tiny_run(method, seed=seed), home.store.folder(key)
        folder.write_record(run=to_json(run), status="fitted", label=run.label, digests={})
        network = run.method.build(run_shapes(run, home), run.seed)
        assert isinstance(network, nn.Module)
        save_tensors(folder.model, network.state_dict())
        return folder

    return make


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "segments.csv").open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_a_recording_is_counted_without_any_network(flag3d: Flag3d, file: Path, tmp_path: Path) -> None:
    said = flag3d("count", file, "--method", "fourier", "--out", tmp_path / "out")
    assert said.code == 0
    assert f"waving.npz: {SECONDS * FPS} frames at 30 per second, 12.0 s, flag3d24" in said.out
    assert f"{COUNT} repetitions ({COUNT}.0), 1.50 s each (1.50 to 1.50)" in said.out
    assert "note: 24 joints are read as flag3d24" in said.out
    assert "warning: the method says how many, not where" in said.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["count.png", "segments.csv"]
    table = rows(tmp_path / "out")
    assert [row["repetition"] for row in table] == [str(number) for number in range(1, COUNT + 1)]
    assert list(table[1].values()) == ["2", "1.500", "3.000", "45", "90"]
    assert (tmp_path / "out" / "count.png").read_bytes().startswith(b"\x89PNG")


def test_files_lie_in_the_home_where_no_folder_is_named(flag3d: Flag3d, file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        said = flag3d("count", file, "--method", "wavelet", "--home", tmp_path / "home")
        assert said.code == 0
    (folder,) = (tmp_path / "home" / "counts").iterdir()
    assert folder.name.startswith("waving-")
    assert (folder / "segments.csv").is_file()
    assert f"written: {folder / 'count.png'}" in said.out


def test_recordings_of_one_name_do_not_overwrite_each_other(
    flag3d: Flag3d, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    np.savez(other, joints=person(6.0), fps=FPS)
    np.save(file.with_suffix(".npy"), person(3.0))
    monkeypatch.chdir(tmp_path)
    for path in (file, other, file.with_suffix(".npy"), file.name):
        assert flag3d("count", path, "--method", "fourier", "--home", tmp_path / "home").code == 0
    folders = (tmp_path / "home" / "counts").iterdir()
    assert sorted(len(rows(folder)) for folder in folders) == [2, COUNT // 2, COUNT]


def test_a_place_that_cannot_be_written_to_is_refused_before_counting(
    flag3d: Flag3d, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(counting, "count_recording", lambda *_, **__: pytest.fail("counted"))
    (tmp_path / "afile").touch()
    (tmp_path / "taken" / "segments.csv").mkdir(parents=True)
    (tmp_path / "taken" / "count.png").write_bytes(b"old")
    for words, texts in {
        ("--out", "afile/sub"): ("--out afile/sub", "afile is a file, where a folder is needed"),
        ("--home", "afile"): ("--home", "afile is a file, where a folder is needed"),
        ("--out", "taken"): ("--out taken", "segments.csv is a folder, where a file is to be written"),
        ("--out", "/proc/nothing"): ("--out /proc/nothing", "cannot be written to"),
    }.items():
        said = flag3d("count", file, "--method", "fourier", *words)
        assert said.code == 2
        printed = " ".join(said.err.split())
        assert [text for text in texts if text not in printed] == [], printed
    assert (tmp_path / "taken" / "count.png").read_bytes() == b"old"


def test_a_place_that_is_lost_while_counting_is_named(
    flag3d: Flag3d, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", gone)
    said = flag3d("count", file, "--method", "fourier", "--out", tmp_path / "out")
    assert said.code == 2
    assert "cannot be written to (Permission denied)" in said.err


def test_axes_that_look_wrong_are_asked_about_and_an_answer_is_taken(flag3d: Flag3d, tmp_path: Path) -> None:
    joints_TVC = person()
    joints_TVC[:, FLAG3D24.index("head"), 1] = 1.6
    np.savez(tmp_path / "z.npz", joints=joints_TVC[..., [0, 2, 1]] * (1, -1, 1), fps=FPS)
    words = ("count", tmp_path / "z.npz", "--method", "fourier", "--out", tmp_path / "out")
    assert "if z is up, say --up z" in flag3d(*words).out
    for up in ("z", "-z"):
        said = flag3d(*words, "--up", up)
        assert said.code == 0
        assert "is up" not in said.out


def test_a_part_is_counted_and_its_seconds_are_those_of_the_file(flag3d: Flag3d, file: Path, tmp_path: Path) -> None:
    words = ("count", file, "--method", "fourier", "--from", "3", "--to", "9", "--out", tmp_path / "out")
    assert "4 repetitions" in flag3d(*words).out
    table = rows(tmp_path / "out")
    assert (table[0]["start_s"], table[-1]["end_s"], table[0]["start_frame"]) == ("3.000", "9.000", "90")


def test_labels_beside_the_joints_change_nothing(
    flag3d: Flag3d, file: Path, tmp_path: Path, stored: Callable[..., RunFolder], home: Home
) -> None:
    poison = np.array([{"count": 51}], dtype=object)
    poisoned = tmp_path / "poisoned" / "waving.npz"
    poisoned.parent.mkdir()
    labels = {"reps": np.zeros((5, 2), int), "count": np.array(5), "density": poison, "labels": poison}
    np.savez(poisoned, joints=person(), fps=FPS, **labels)
    stored()
    printed = []
    for path, out in ((file, "clean"), (poisoned, "dirty")):
        said = flag3d("count", path, "--checkpoint", "0123", "--home", home.root, "--out", tmp_path / out)
        assert said.code == 0, said.err
        printed.append(said.out.replace(out, "out"))
    assert printed[0] == printed[1]
    for name in ("segments.csv", "count.png"):
        assert (tmp_path / "clean" / name).read_bytes() == (tmp_path / "dirty" / name).read_bytes()


def test_networks_are_named_by_key_folder_or_export_and_widen_the_range(
    flag3d: Flag3d, file: Path, tmp_path: Path, stored: Callable[..., RunFolder], home: Home
) -> None:
    one, other = stored(key="aaaa"), stored(key="bbbb", seed=5)
    exported = export_checkpoint(other, tmp_path / "exported", "# mine")
    words = ("--checkpoint", "aaaa", "--checkpoint", one.path, "--checkpoint", exported, "--home", home.root)
    said = flag3d("count", file, *words)
    assert said.code == 0, said.err
    assert "seed 0 (aaaa)" in said.out
    assert "seed 5 (exported)" in said.out
    assert "9 " in next(line for line in said.out.splitlines() if line.startswith("counted by"))


def test_words_reach_a_network_that_reads_language(
    flag3d: Flag3d, file: Path, stored: Callable[..., RunFolder], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, original = [], counting.count_recording

    def heard(counters, joints_TVC, **options):
        seen.append(counters[0].text_LD)
        return original(counters, joints_TVC, **options)

    stored(HLRAC(widths=(4,), model_width=8, feed_forward=8, layers=1, density_widths=(8, 8)))
    words = ("count", file, "--checkpoint", "0123", "--home", home.root)
    refused = flag3d(*words)
    assert refused.code == 2
    assert "--caption" in refused.err
    monkeypatch.setattr(counting, "count_recording", heard)
    for caption in ("wave a hand", "agiter la main " * 700):
        assert flag3d(*words, "--caption", caption).code == 0
    assert not np.array_equal(seen[0], seen[1])


def test_a_tiny_recording_is_answered(flag3d: Flag3d, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", person()[:1])
    said = flag3d("count", tmp_path / "one.npy", "--method", "wavelet", "--out", tmp_path / "out")
    assert said.code == 0
    assert "0 repetitions (0.0)" in said.out
    assert "nothing moves" in said.out
    assert "no frame rate" in said.out
    assert rows(tmp_path / "out") == []


def test_long_tables_are_cut_in_print_and_whole_in_the_file(
    flag3d: Flag3d, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setattr(command, "SHOWN", 3)
    said = flag3d("count", file, "--method", "fourier", "--out", tmp_path / "out")
    assert f"and {COUNT - 3} more in segments.csv" in said.out
    assert len(rows(tmp_path / "out")) == COUNT


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("absent.npz", "--method", "fourier"), ("absent.npz", "no such file")),
        (("waving.npz",), ("no network comes with this version", "flag3d train transrac --preset tiny", "wavelet")),
        (("waving.npz", "--method", "transrac"), ("--method transrac", "--checkpoint")),
        (("waving.npz", "--method", "fourier", "--caption", "x"), ("--caption", "leave out")),
        (("waving.npz", "--method", "fourier", "--checkpoint", "x"), ("--checkpoint", "leave out")),
        (("waving.npz", "--checkpoint", "x"), ("no run's key begins so",)),
        (("waving.npz", "--method", "fourier", "--rule", "peaks"), ("--rule peaks", "valley, quantile, cumulative")),
        (("waving.npz", "--method", "fourier", "--layout", "kinect"), ("unknown joint layout",)),
        (("waving.npz", "--method", "fourier", "--fps", "0"), ("--fps 0",)),
        (("waving.npz", "--method", "fourier", "--from", "20"), ("--from and --to",)),
        (("waving.npz", "--method", "fourier", "--from", "nan"), ("--from nan", "no number of seconds")),
        (("waving.npz", "--method", "fourier", "--to", "inf"), ("--to inf", "no number of seconds")),
        (("waving.npz", "--method", "fourier", "--unit", "mm"), ("--unit mm", "0.0005 m apart", "--unit m would fit")),
        (("waving.npz", "--method", "fourier", "--out", "waving.npz"), ("a file, where a folder is needed",)),
        (("nan.npz", "--method", "fourier"), ("frame 5", "joint pelvis", "--from and --to")),
        (("22.npz", "--method", "fourier"), ("22 joints without names", "--layout")),
        (("evil.npz", "--method", "fourier"), ("an array of Python objects",)),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_what_cannot_be_counted_ends_with_2_a_remedy_and_nothing_written(
    flag3d: Flag3d,
    tmp_path: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    texts: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flag3d_ray.checkpoints.packaged", lambda: None)
    gap = person()
    gap[5, 0, 1] = np.nan
    np.savez("nan.npz", joints=gap, fps=FPS)
    np.savez("22.npz", joints=person()[:, :22], fps=FPS)
    np.savez("evil.npz", joints=np.array([{}], dtype=object), fps=FPS)
    before = sorted(tmp_path.rglob("*"))
    said = flag3d("count", *words, "--home", tmp_path / "home")
    assert said.code == 2
    printed = " ".join(said.err.split())
    assert [text for text in texts if text not in printed] == [], printed
    assert sorted(tmp_path.rglob("*")) == before


def test_a_picture_that_cannot_be_written_leaves_no_table(
    flag3d: Flag3d, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    said = flag3d("count", file, "--method", "fourier", "--out", tmp_path / "out")
    assert said.code == 2
    assert "no space left on the disk" in said.err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_count_says_that_nothing_was_written(
    flag3d: Flag3d, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(counting, "count_recording", interrupted)
    said = flag3d("count", file, "--method", "fourier", "--out", tmp_path / "out")
    assert said.code == 130
    assert "nothing was written" in said.out
    assert not (tmp_path / "out").exists()
