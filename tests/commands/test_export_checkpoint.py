"""`flag3d export-checkpoint` on a tiny trained run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.execution import ensure
from flag3d_ray.home import Home
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.preparation import keep_weights
from flag3d_ray.run import Resources, Run, TrainSpec
from flag3d_ray.store import RunFolder
from flag3d_ray.training.packaged import load_checkpoint

Flag3d = Callable[..., Any]
HERE = Resources(executor="local")


@pytest.fixture
def home(fresh_home: Callable[[], Home]) -> Home:
    return fresh_home()


def trained(run: Run, home: Home) -> RunFolder:
    """The folder of the run, finished."""
    return ensure([run], home, HERE)[-1].folder


def test_the_card_says_what_the_store_measured_and_the_folder_counts(
    flag3d: Flag3d, home: Home, tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    run = tiny_run(epochs=1, max_clips_per_epoch=8)
    folder = trained(run, home)
    kept = keep_weights(folder.model, home)
    again = replace(run, train=TrainSpec(epochs=0), seed=7, init_from=kept)
    windows = replace(again, data=replace(run.data, test_windows="counts"))
    assert trained(again, home).metrics() == folder.metrics()
    judged = trained(windows, home)
    trained(tiny_run(Fourier()), home)
    remarks = tmp_path / "remarks.md"
    remarks.write_text("Not for emus.")

    out = tmp_path / "given"
    said = flag3d(
        "export-checkpoint",
        folder.key[:12],
        "--out",
        out,
        "--licence",
        "CC0",
        "--remarks",
        remarks,
        "--home",
        home.root,
    )

    assert said.code == 0
    assert load_checkpoint(out).run == run
    card = (out / "card.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith(f"| {run.data.dataset} |")]
    assert len(rows) == 2, "its own test, said once, and the run on other clips; Fourier's is another model"
    for measured, row in zip((folder.metrics(), judged.metrics()), rows, strict=True):
        assert f"| {measured['mae']:.4f} | {measured['obo/1']:.4f} |" in row
    assert f"SHA-256 {kept.sha256}" in card
    assert "Licence of the weights: CC0" in card
    assert "1 epochs, at most 8 clips each" in card
    assert card.endswith("## Remarks\n\nNot for emus.\n")


def test_a_run_that_has_not_ended_is_not_exported(
    flag3d: Flag3d, home: Home, tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    folder = trained(tiny_run(epochs=1, max_clips_per_epoch=8), home)
    folder.metrics_path.unlink()
    said = flag3d("export-checkpoint", folder.key, "--out", tmp_path / "given", "--licence", "CC0", "--home", home.root)
    assert said.code == 2
    assert "the run has not ended: fitted" in said.err
    assert not (tmp_path / "given").exists()


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("nothing", "--licence", "CC0"), "the keys of no runs begin so"),
        (("0123", "--licence", " "), "it is empty"),
        (("0123", "--licence", "CC0", "--remarks", "nowhere.md"), "no such file"),
    ],
)
def test_a_wrong_word_is_answered(
    flag3d: Flag3d, home: Home, tiny_run: Callable[..., Run], tmp_path: Path, words: tuple[str, ...], rule: str
) -> None:
    if words[0] == "0123":
        words = (trained(tiny_run(Fourier()), home).key, *words[1:])
    said = flag3d("export-checkpoint", *words, "--out", tmp_path / "given", "--home", home.root)
    assert said.code == 2
    assert rule in said.err
    assert not (tmp_path / "given").exists()


def test_remarks_that_are_no_text_and_places_where_nothing_can_be_written_are_named(
    flag3d: Flag3d, home: Home, tiny_run: Callable[..., Run], tmp_path: Path
) -> None:
    folder = trained(tiny_run(epochs=1, max_clips_per_epoch=8), home)
    remarks = tmp_path / "remarks.md"
    remarks.write_bytes(b"abc\xff\xfe")
    words = ("export-checkpoint", folder.key, "--licence", "CC0", "--home", home.root)

    no_text = flag3d(*words, "--out", tmp_path / "given", "--remarks", remarks)
    no_file = flag3d(*words, "--out", tmp_path / "given", "--remarks", tmp_path)
    no_place = flag3d(*words, "--out", "/proc/given")

    assert (no_text.code, no_file.code, no_place.code) == (2, 2, 2)
    assert "cannot be read as text in UTF-8" in no_text.err
    assert "not a file" in no_file.err
    assert "its folder cannot be made" in no_place.err
    assert not (tmp_path / "given").exists()
