"""What a run's key depends on, and that a run survives its way through JSON."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import numpy as np
import pytest

from flag3d_ray.errors import RunError
from flag3d_ray.methods.catalogue import COUNTING, RECORDED
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.hl_rac import HLRAC, RELEASED
from flag3d_ray.methods.counting.knn import KNN
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.run import (
    Ablation,
    DataSpec,
    Resources,
    Run,
    Text,
    TrainSpec,
    Weights,
    canonical_json,
    parameters,
    run_from_json,
    run_sources,
    to_json,
)

RUN = Run(method=Random(), data=DataSpec(text=Text(encoder="lexical")))
DIGESTS = {"dataset": "d1", "split": "s1", "text_encoder": "t1"}


@dataclass(frozen=True, kw_only=True)
class Odd:
    """A method with a field that may hold what JSON cannot carry."""

    value: object = None

    name: ClassVar[str] = "odd"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "none"
    language: ClassVar[bool] = False

    def build(self, shapes, seed):
        raise NotImplementedError


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, seed=1),
        replace(RUN, method=Random(high=33)),
        replace(RUN, method=Fourier()),
        replace(RUN, train=replace(RUN.train, recipe="released")),
        replace(RUN, train=replace(RUN.train, precision="float64")),
        replace(RUN, data=replace(RUN.data, frames=64)),
        replace(RUN, data=replace(RUN.data, labels="assign")),
        replace(RUN, data=replace(RUN.data, text=Text(encoder="lexical", caption_level=2))),
        replace(RUN, data=replace(RUN.data, text=Text(encoder="lexical", tokens=True))),
        replace(RUN, data=replace(RUN.data, text=None)),
        replace(RUN, data=replace(RUN.data, exclude="0123456789ab")),
        replace(RUN, init_from=RUN),
        replace(RUN, init_from=RUN, init_parts=("encoder",)),
        replace(RUN, init_from=Weights(sha256="0" * 64)),
        replace(RUN, data=replace(RUN.data, test_windows="counts")),
        replace(RUN, data=replace(RUN.data, text=Text(encoder="lexical", caption="shuffled"))),
    ],
)
def test_whatever_a_run_asks_is_in_its_key(other: Run) -> None:
    assert other.key(DIGESTS) != RUN.key(DIGESTS)


@pytest.mark.parametrize("name", DIGESTS)
def test_whatever_a_run_reads_is_in_its_key(name: str) -> None:
    assert RUN.key(DIGESTS | {name: "changed"}) != RUN.key(DIGESTS)


def test_equal_runs_have_the_same_key_whatever_the_order_of_the_digests() -> None:
    again = Run(method=Random(), data=DataSpec(text=Text(encoder="lexical")))
    assert again.key(dict(reversed(DIGESTS.items()))) == RUN.key(DIGESTS)
    assert len(RUN.key(DIGESTS)) == 20
    assert int(RUN.key(DIGESTS), 16) >= 0


def test_a_change_of_source_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = RUN.key(DIGESTS)
    monkeypatch.setattr("flag3d_ray.run.source_digests", lambda roots: {"flag3d_ray.metrics": "other"})
    assert RUN.key(DIGESTS) != before


def test_resources_are_no_part_of_a_run() -> None:
    assert {field.name for field in fields(Run)} & {field.name for field in fields(Resources)} == set()
    for name in ("workers", "concurrent", "threads", "gpus", "executor"):
        assert f'"{name}"' not in canonical_json(RUN)


def test_a_key_covers_the_method_the_training_loop_the_clips_and_no_view() -> None:
    sources = run_sources(RUN)
    assert {"flag3d_ray.methods.counting.random_count", "flag3d_ray.training.loop", "flag3d_ray.data.clips"} <= set(
        sources
    )
    assert {"flag3d_ray.data.crops", "flag3d_ray.data.labels", "flag3d_ray.sample"} <= set(sources)
    outside = (
        "flag3d_ray.tracking",
        "flag3d_ray.viz",
        "flag3d_ray.commands",
        "flag3d_ray.execution",
        "flag3d_ray.render",
    )
    assert [name for name in sources if name.startswith(outside)] == []


def test_a_key_does_not_cover_other_methods() -> None:
    sources = run_sources(replace(RUN, method=KNN()))
    assert "flag3d_ray.methods.counting.knn" in sources
    assert "flag3d_ray.methods.counting.random_count" not in sources


@pytest.mark.parametrize("method", [kind() for kind in COUNTING], ids=lambda method: type(method).__name__)
def test_every_method_of_the_catalogue_survives_json(method) -> None:
    run = Run(method=method, data=DataSpec(text=Text(encoder="clip", caption_level=3, tokens=True)), seed=7)
    again = run_from_json(to_json(run), RECORDED)
    assert again == run
    assert canonical_json(again) == canonical_json(run)


def test_a_run_that_starts_from_another_with_a_profile_of_its_own_survives_json() -> None:
    first = Run(method=HLRAC(fusion="addition", profile=RELEASED), train=TrainSpec(recipe="released"))
    second = replace(first, seed=3, init_from=replace(first, data=DataSpec(dataset="ui_prmd", split="by_person")))
    again = run_from_json(to_json(second), RECORDED)
    assert again == second
    assert again.init_from == second.init_from
    assert again.method.profile == RELEASED  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "value",
    [{1, 2}, [1, 2], {"a": 1}, np.zeros(2), np.int64(3), float("nan"), float("inf"), abs, 1j, b"bytes", (1, {2})],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_json_cannot_carry_exactly_is_refused(value: object) -> None:
    with pytest.raises(RunError, match="cannot be written exactly"):
        Run(method=Odd(value=value))


@pytest.mark.parametrize("value", [0.1 + 0.2, 5e-324, 2**80, -1, True, None, "ä\n", ((1, 2.5), ("x", ()))], ids=repr)
def test_numbers_strings_and_tuples_come_back_exactly(value: object) -> None:
    again = run_from_json(to_json(Run(method=Odd(value=value))), (Odd,))
    assert again.method.value == value  # pyright: ignore[reportAttributeAccessIssue]
    assert type(again.method.value) is type(value)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_record_of_an_unknown_method_or_field_says_to_run_again() -> None:
    unknown_method = to_json(RUN) | {"method": {"type": "Vanished"}}
    with pytest.raises(RunError, match=r"unknown type 'Vanished'.*run it again"):
        run_from_json(unknown_method, RECORDED)
    renamed_field = to_json(RUN) | {"train": to_json(RUN.train) | {"momentum": 0.9}}
    with pytest.raises(RunError, match=r"TrainSpec.*momentum"):
        run_from_json(renamed_field, RECORDED)


def test_parameters_are_flat_and_named_by_their_path() -> None:
    flat = parameters(Run(method=HLRAC(fusion="addition"), data=DataSpec(text=Text(encoder="lexical")), seed=4))
    assert flat["method.fusion"] == "addition"
    assert flat["method.profile.text_axis"] == "source"
    assert flat["data.text.encoder"] == "lexical"
    assert flat["train.epochs"] == "25"
    assert flat["seed"] == "4"
    assert not any(name.startswith("init_from") for name in flat)


def test_a_label_names_the_text_only_where_the_method_reads_it() -> None:
    text = Text(encoder="lexical", caption_level=2)
    assert Run(method=Random(), data=DataSpec(text=text), seed=1).label == "random, seed 1"
    label = Run(method=HLRAC(fusion="addition"), data=DataSpec(text=text), seed=1).label
    assert label.endswith(", lexical, level 2, seed 1")


def test_an_ablation_runs_every_arm_with_every_seed() -> None:
    ablation = Ablation("a", (("one", RUN), ("two", replace(RUN, method=KNN()))), seeds=(3, 5))
    assert [(run.method.name, run.seed) for run in ablation.runs()] == [
        ("random", 3),
        ("knn", 3),
        ("random", 5),
        ("knn", 5),
    ]


@pytest.mark.parametrize("name", ["workers", "concurrent", "cpus", "threads"])
def test_resources_of_zero_are_refused(name: str) -> None:
    with pytest.raises(RunError, match=f"{name} is 0"):
        Resources(**{name: 0})  # pyright: ignore[reportArgumentType]


def test_a_caption_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Exception, match="caption"):
        Text(caption_level=4)  # pyright: ignore[reportArgumentType]


def test_a_list_is_left_out_wherever_a_run_reads_that_dataset() -> None:
    start = Run(method=Random(), data=DataSpec(dataset="synthetic"))
    same, other = replace(RUN, init_from=RUN), replace(RUN, init_from=start, data=DataSpec(dataset="ui_prmd"))
    told = same.excluding("synthetic", "0123456789ab")
    assert told.parent is not None
    assert (told.data.exclude, told.parent.data.exclude) == ("0123456789ab", "0123456789ab")
    told = other.excluding("ui_prmd", "0123456789ab")
    assert told.data.exclude == "0123456789ab"
    assert told.init_from == start


def test_a_record_from_before_exclusion_lists_is_a_run_without_one() -> None:
    old = to_json(RUN)
    del old["data"]["exclude"]
    assert run_from_json(old, RECORDED) == RUN


def test_a_parameter_without_a_value_is_not_told() -> None:
    assert "data.exclude" not in parameters(RUN)
    assert parameters(RUN.excluding("synthetic", "0123456789ab"))["data.exclude"] == "0123456789ab"


def test_parts_of_no_run_are_refused() -> None:
    with pytest.raises(RunError, match="init_parts encoder and no run to start from"):
        replace(RUN, init_parts=("encoder",))


def test_parts_survive_json_and_another_seed_and_are_a_parameter_where_there_are_any() -> None:
    run = replace(RUN, init_from=RUN, init_parts=("encoder",))
    assert run_from_json(to_json(run), RECORDED) == run
    assert run.with_seed(4).init_parts == ("encoder",)
    assert parameters(run)["init_parts"] == "['encoder']"
    assert "init_parts" not in parameters(RUN)
    assert canonical_json(run) != canonical_json(replace(run, init_parts=()))


def test_a_record_from_before_parts_windows_and_shuffled_captions_is_a_run_without_them() -> None:
    old = to_json(RUN)
    del old["init_parts"], old["data"]["test_windows"], old["data"]["text"]["caption"]
    assert run_from_json(old, RECORDED) == RUN


def test_a_model_that_is_judged_on_other_data_says_which() -> None:
    source = replace(RUN, seed=2)
    moved = Run(method=Random(), data=DataSpec(dataset="ui_prmd"), train=TrainSpec(epochs=0), seed=2, init_from=source)
    assert moved.is_transfer
    assert moved.label == "random, from synthetic to ui_prmd, seed 2"
    assert not source.is_transfer
    assert not replace(moved, train=TrainSpec()).is_transfer
    assert not replace(source, train=TrainSpec(epochs=0)).is_transfer


def test_a_label_says_that_captions_are_shuffled() -> None:
    text = Text(encoder="lexical", caption="shuffled")
    assert "shuffled captions" in Run(method=HLRAC(), data=DataSpec(text=text)).label


def test_a_run_from_a_file_survives_json_keeps_its_file_with_every_seed_and_waits_for_nobody() -> None:
    run = replace(RUN, init_from=Weights(sha256="ab" * 32))
    assert run_from_json(to_json(run), RECORDED) == run
    assert run.with_seed(4).init_from == run.init_from
    assert run.excluding(RUN.data.dataset, "0123456789ab").init_from == run.init_from
    assert run.parent is None
    assert replace(RUN, init_from=RUN).parent == RUN


def test_a_transfer_from_a_file_says_which() -> None:
    run = replace(RUN, train=TrainSpec(epochs=0), init_from=Weights(sha256="ab" * 32))
    assert "from weights abababab to synthetic" in run.label


@pytest.mark.parametrize("digest", ["", "../" + "a" * 61, "A" * 64, "a" * 63, "a" * 65])
def test_what_is_no_digest_names_no_file(digest: str) -> None:
    with pytest.raises(RunError, match="not a SHA-256"):
        Weights(sha256=digest)
