"""A run's key in a home: it changes with the data, the split, the encoder and the run it starts from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flag3d_ray.data.exclusions import Exclusions, store_exclusions
from flag3d_ray.data.splits import load_split, write_split
from flag3d_ray.errors import DataError, EncoderUnreachable
from flag3d_ray.home import Home
from flag3d_ray.identity import run_digests, run_key
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import Run, Text

TinyRun = Callable[..., Run]


@pytest.fixture
def own_home(tmp_path: Path, write_tiny: Callable[[Path], None]) -> Home:
    """A home whose data the test may change."""
    home = Home(tmp_path / "own")
    write_tiny(home.dataset("tiny"))
    return home


def test_a_key_names_the_dataset_and_the_split_by_content(tiny_home: Home, tiny_run: TinyRun) -> None:
    digests = run_digests(tiny_run(), tiny_home)
    assert set(digests) == {"dataset", "split"}
    assert run_key(tiny_run(), tiny_home) == tiny_run().key(digests)


def test_the_same_data_in_another_place_gives_the_same_key(tiny_home: Home, own_home: Home, tiny_run: TinyRun) -> None:
    assert run_key(tiny_run(), own_home) == run_key(tiny_run(), tiny_home)


def test_another_split_of_the_same_name_changes_the_key(tiny_home: Home, own_home: Home, tiny_run: TinyRun) -> None:
    folder = own_home.dataset("tiny")
    split = load_split(folder, "by_action")
    write_split(folder, replace(split, train=split.valid, valid=split.train))
    assert run_digests(tiny_run(), own_home)["dataset"] == run_digests(tiny_run(), tiny_home)["dataset"]
    assert run_key(tiny_run(), own_home) != run_key(tiny_run(), tiny_home)


def test_a_split_that_is_drawn_again_is_seen_by_a_living_process(own_home: Home, tiny_run: TinyRun) -> None:
    before = run_key(tiny_run(), own_home)
    folder = own_home.dataset("tiny")
    split = load_split(folder, "by_action")
    write_split(folder, replace(split, train=split.valid, valid=split.train))
    assert run_key(tiny_run(), own_home) != before


def test_the_encoder_counts_where_a_run_reads_text(tiny_home: Home, tiny_run: TinyRun) -> None:
    plain = tiny_run()
    reading = replace(plain, data=replace(plain.data, text=Text(encoder="lexical")))
    assert len(run_digests(reading, tiny_home)["text_encoder"]) == 64
    assert run_key(reading, tiny_home) != run_key(plain, tiny_home)


def test_the_run_that_another_starts_from_counts_with_all_that_it_reads(
    tiny_home: Home, tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(tiny_run(), data=replace(tiny_run().data, text=Text(encoder="lexical")))
    second = tiny_run(init_from=first)
    assert run_digests(second, tiny_home)["init_from"] == run_key(first, tiny_home)
    before = run_key(second, tiny_home)
    monkeypatch.setattr("flag3d_ray.identity.encoder_digest", lambda name: "other weights")
    assert run_key(second, tiny_home) != before


def test_a_dataset_that_is_not_there_is_named(tiny_home: Home, tiny_run: TinyRun) -> None:
    run = tiny_run()
    with pytest.raises(DataError, match="nowhere"):
        run_key(replace(run, data=replace(run.data, dataset="nowhere")), tiny_home)
    with pytest.raises(DataError, match="no split 'other'; there are: by_action"):
        run_key(replace(run, data=replace(run.data, split="other")), tiny_home)


def test_an_encoder_without_weights_gives_no_key(
    tiny_home: Home, tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    run = tiny_run(Random())
    with pytest.raises(EncoderUnreachable, match="FLAG3D_BERT"):
        run_key(replace(run, data=replace(run.data, text=Text(encoder="bert"))), tiny_home)


def test_the_key_changes_with_the_exclusion_list_and_not_with_the_order_or_reasons_of_its_rows(
    own_home: Home, tiny_run: TinyRun
) -> None:
    folder, names = own_home.dataset("tiny"), ["A001-S01", "A002-S02"]

    def key(rows: list[tuple[str, str]]) -> str:
        return run_key(tiny_run().excluding("tiny", store_exclusions(folder, Exclusions.of(rows), names)), own_home)

    both = [(name, "wrong label") for name in names]
    assert key(both) == key([(name, "") for name in reversed(names)])
    assert len({key(both), key(both[:1]), key(both[1:]), run_key(tiny_run(), own_home)}) == 4


def test_a_run_without_its_exclusion_list_has_no_key(own_home: Home, tiny_run: TinyRun) -> None:
    folder = own_home.dataset("tiny")
    run = tiny_run().excluding("tiny", store_exclusions(folder, Exclusions.of([("A001-S01", "")]), ["A001-S01"]))
    assert set(run_digests(run, own_home)) == {"dataset", "split", "exclusions"}
    (folder / "exclusions" / f"{run.data.exclude}.csv").unlink()
    with pytest.raises(DataError, match="give the list again with --exclude"):
        run_key(run, own_home)
