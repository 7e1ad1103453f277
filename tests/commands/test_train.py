"""`flag3d train` on a tiny dataset that stands in for the demo's."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flag3d_ray.home import Home

Flag3d = Callable[..., Any]
QUICK = ("--preset", "demo", "--executor", "local", "--no-track")


def test_a_trained_method_prints_its_metrics_and_is_cached_after_that(flag3d: Flag3d, home: Home) -> None:
    first = flag3d("train", "fourier", *QUICK, "--home", home.root)
    assert first.code == 0
    (folder,) = home.store
    for name, value in folder.metrics().items():
        assert f"{name:20} {value:.4f}" in first.out
    written = folder.metrics_path.stat().st_mtime_ns
    second = flag3d("train", "fourier", *QUICK, "--home", home.root)
    said = first.out.splitlines()[-len(folder.metrics()) - 4 :]
    assert second.out.splitlines()[-len(said) :] == said
    assert folder.metrics_path.stat().st_mtime_ns == written


def test_a_trained_method_says_where_it_lies_and_how_to_go_on(
    flag3d: Flag3d, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLAG3D_HOME", raising=False)
    words = ("train", "fourier", *QUICK)
    run, model, count, export = flag3d(*words, "--home", home.root).out.splitlines()[-4:]
    (folder,) = home.store
    assert run.split() == ["run", folder.key]
    assert model.split(maxsplit=1) == ["model", str(folder.model)]
    assert count.endswith(f"flag3d count RECORDING --checkpoint {folder.key[:8]} --home {home.root}")
    typed = shlex.split(export.partition("flag3d ")[2].replace("FOLDER", str(tmp_path / "given")))
    assert flag3d(*typed).code == 0
    assert (tmp_path / "given" / "card.md").exists()
    monkeypatch.setenv("FLAG3D_HOME", str(home.root))
    assert flag3d(*words).out.endswith('--licence "LICENCE"\n')


def test_a_method_that_does_not_exist_is_answered_with_those_that_do(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("train", "guess", *QUICK, "--home", home.root)
    assert said.code == 2
    assert "hl_rac_multiplication" in said.err
    assert not home.store.root.exists()


def test_weights_of_a_run_are_judged_on_their_own_or_trained_on(flag3d: Flag3d, home: Home, tmp_path: Path) -> None:
    small = ("train", "transrac", *QUICK, "--home", home.root, "--epochs")
    assert flag3d(*small, 1).code == 0
    first = next(folder for folder in home.store if folder.record()["run"]["train"]["keep"] == "best")
    given = tmp_path / "given.safetensors"
    given.write_bytes(first.model.read_bytes())

    judged = flag3d(*small, 0, "--init-from", given)
    again = flag3d(*small, 0, "--init-from", first.key[:10])

    assert judged.code == again.code == 0
    assert "from weights" in judged.out
    assert again.out.splitlines()[-5:] == judged.out.splitlines()[-5:], "the same weights are the same run"
    (transfer,) = [folder for folder in home.store if folder.record()["run"]["train"]["epochs"] == 0]
    assert transfer.metrics() == first.metrics()


def test_a_method_trains_as_its_authors_published(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("train", "transrac", *QUICK, "--home", home.root, "--recipe", "published", "--epochs", 1)
    assert said.code == 0
    (record,) = [folder.record() for folder in home.store if folder.record()["run"]["train"]["recipe"] == "released"]
    assert record["run"]["init_from"] is None
    assert (record["run"]["train"]["batch"], record["run"]["train"]["learning_rate"]) == (32, 8e-6)


def test_a_run_trains_at_the_rate_that_is_asked_for(flag3d: Flag3d, home: Home) -> None:
    said = flag3d("train", "transrac", *QUICK, "--home", home.root, "--epochs", 1, "--learning-rate", 4e-4)
    assert said.code == 0
    rates = {
        folder.record()["run"]["train"]["learning_rate"] for folder in home.store if folder.record()["run"]["init_from"]
    }
    assert rates == {4e-4}


def test_a_run_computes_with_as_many_threads_as_are_asked_for(
    flag3d: Flag3d, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flag3d_ray.evaluation import evaluate
    from flag3d_ray.training import trial

    used: list[int] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *words, **more: (used.append(torch.get_num_threads()), function(*words, **more))[1]

    monkeypatch.setattr(trial, "fit", noted(trial.fit))
    monkeypatch.setattr(evaluate, "predict", noted(evaluate.predict))
    before = torch.get_num_threads()
    assert flag3d("train", "transrac", *QUICK, "--home", home.root, "--epochs", 1, "--threads", 3).code == 0
    assert used == [3, 3] != [before, before]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("where", [("--executor", "ray"), ("--workers", 2)])
def test_threads_are_refused_on_ray_where_a_run_has_a_cpu_a_worker(
    flag3d: Flag3d, home: Home, where: tuple[str, str | int]
) -> None:
    said = flag3d("train", "transrac", *QUICK, *where, "--home", home.root, "--threads", 2)
    assert said.code == 2
    assert "leave it out, or use --executor local" in said.err
    assert not home.store.root.exists()


@pytest.mark.parametrize("rate", [0, -1e-3, 4, "nan"])
def test_a_rate_that_cannot_train_is_refused(flag3d: Flag3d, home: Home, rate: float | str) -> None:
    said = flag3d("train", "transrac", *QUICK, "--home", home.root, "--learning-rate", rate)
    assert said.code == 2
    assert "not above 0 and up to 1" in said.err
    assert not home.store.root.exists()


@pytest.mark.parametrize("option", [("--epochs", 3), ("--learning-rate", 1e-3)])
def test_a_method_that_is_fitted_takes_no_option_of_training(
    flag3d: Flag3d, home: Home, option: tuple[str, float]
) -> None:
    said = flag3d("train", "fourier", *QUICK, "--home", home.root, *option)
    assert said.code == 2
    assert "fourier has no weights to train" in said.err


def test_what_holds_no_weights_is_refused(flag3d: Flag3d, home: Home, tmp_path: Path) -> None:
    said = flag3d("train", "transrac", *QUICK, "--home", home.root, "--init-from", tmp_path)
    assert said.code == 2
    assert "it holds no weights" in said.err


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("fourier",), "fourier has no weights to train"),
        (("transrac", "--recipe", "published"), "published recipes start from random weights"),
    ],
)
def test_weights_for_what_does_not_start_from_any_are_refused(
    flag3d: Flag3d, home: Home, tmp_path: Path, words: tuple[str, ...], rule: str
) -> None:
    said = flag3d("train", *words, *QUICK, "--home", home.root, "--init-from", tmp_path / "net.safetensors")
    assert said.code == 2
    assert rule in said.err
    assert not home.store.root.exists()
