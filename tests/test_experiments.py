"""Experiment files only declare: cheap to load, arms that differ in the declared field, rows that match the paper."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from experiments import (
    SWEEPS,
    counting_methods,
    demo,
    protocol,
    search_hlrac,
    table03_counting,
    table04_ablations,
    table05_body_parts,
    table06_captions,
    table07_repcount_a,
    table_ablations,
    table_transfer,
    table_variation,
)
from experiments.counting_methods import Asked, OwnHead
from flag3d_ray.data.splits import COLUMNS
from flag3d_ray.data.synthetic import variation
from flag3d_ray.errors import RunError
from flag3d_ray.methods.catalogue import COUNTING, RECORDED
from flag3d_ray.paper import published
from flag3d_ray.run import Run, canonical_json, parameters, run_from_json, to_json
from flag3d_ray.tables import Table, declared_tables, load_table

ROOT = Path(__file__).parent.parent
FIGURES = ("experiments.figure08_features", "experiments.figure09_joint_weights")
MODULES = (*declared_tables().values(), *SWEEPS.values(), *FIGURES, "experiments.demo")
# Table 2 describes datasets and asks for no run.
TABLES = [name for name in declared_tables() if name != "2"]
PRINTED, OURS = [name for name in TABLES if name.isdigit()], [name for name in TABLES if not name.isdigit()]
HEAVY = ("torch", "ray", "optuna", "mlflow", "transformers", "pyarrow", "sklearn", "matplotlib")
PRESETS = tuple(protocol.PRESETS)


class Suggestions:
    """A trial that answers with fixed values, as Optuna's FixedTrial does."""

    def __init__(self, **values) -> None:
        self.values = values

    def suggest_categorical(self, name, choices):
        assert self.values[name] in choices
        return self.values[name]

    def suggest_float(self, name, low, high, *, log=False):
        assert low <= self.values[name] <= high
        return self.values[name]


def difference(run: Run, base: Run) -> set[str]:
    """Names of the parameters in which two runs differ."""
    ours, theirs = parameters(run), parameters(base)
    return {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}


@pytest.mark.parametrize("module", MODULES)
def test_an_experiment_loads_within_a_second_and_without_heavy_packages(module):
    program = (
        "import sys, time; began = time.process_time(); import importlib; importlib.import_module(sys.argv[1]); "
        "print(time.process_time() - began); print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    seconds = []
    # Processor time, and again when it was long: a busy machine slows a start down, and never speeds it up.
    while len(seconds) < 3 and min(seconds, default=1.0) >= 1.0:
        command = [sys.executable, "-c", program, module]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        taken, loaded = ended.stdout.splitlines()
        assert not set(HEAVY) & set(loaded.split())
        seconds.append(float(taken))
    assert min(seconds) < 1.0


def test_the_papers_tables_of_counting_and_three_of_ours_are_there():
    assert (PRINTED, OURS) == (["3", "4", "5", "6", "7"], ["ablations", "transfer", "variation"])


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_table_is_found_by_its_name_in_every_preset(name, preset):
    table = load_table(name, preset=preset)
    assert (table.name, table.preset) == (name, preset)
    if name in PRINTED:
        assert table.title == published(int(name)).title


@pytest.mark.parametrize("name", PRINTED)
def test_every_row_carries_the_printed_numbers_of_its_columns(name):
    table = load_table(name)
    ours = {"encoder_minilm", "encoder_lexical"}
    for row in table.rows:
        assert {column.key for column in table.columns} <= set(row.published) or row.method in ours, row.method


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_printed_beside_a_table_of_ours(name):
    assert not any(row.published for row in load_table(name).rows)


@pytest.mark.parametrize("name", TABLES)
def test_every_run_of_a_table_can_be_written_and_read_again(name):
    for run in load_table(name, preset="demo").runs():
        assert run_from_json(json.loads(canonical_json(run)), RECORDED) == run
        assert to_json(run)["method"]["type"] == type(run.method).__name__


def test_table_3_has_the_papers_rows_in_its_order():
    table = table03_counting.table()
    assert [row.method for row in table.rows] == [row.arm["method"] for row in published(3).rows]
    later = {"repnet", "easyshots", "ivac", "detrc", "me_rac"} - counting_methods.OWN_HEADS.keys()
    assert {row.method for row in table.rows if not row.runs} == later


def test_table_3_runs_each_method_under_its_own_id():
    for row in table03_counting.table().rows:
        for run in row.runs:
            fusion = getattr(run.method, "fusion", "")
            assert row.method in (run.method.name, f"{run.method.name}_{fusion}")
            assert row.method.endswith(fusion)


def test_random_is_drawn_ten_times_and_methods_without_randomness_run_once():
    rows = {row.method: row for row in table03_counting.table(seeds=(0, 1, 2)).rows}
    assert [run.seed for run in rows["random"].runs] == list(range(10))
    for still in ("pca_peak", "fourier", "wavelet"):
        assert rows[still].deterministic
        assert len(rows[still].runs) == 1
    assert [len(rows[name].runs) for name in ("knn", "transrac", "hl_rac_multiplication")] == [3, 3, 3]


@pytest.mark.parametrize("preset", PRESETS)
def test_table_3s_fusions_differ_in_the_fusion_only_and_seeds_in_the_seed_only(preset):
    rows = {row.method: row for row in table03_counting.table(preset=preset).rows}
    base = rows["hl_rac_cross_attention"].runs
    for fusion in ("addition", "multiplication"):
        for run, other in zip(rows[f"hl_rac_{fusion}"].runs, base, strict=True):
            assert difference(run, other) == {"method.fusion"}
    assert difference(base[1], base[0]) == {"seed"}


@pytest.mark.parametrize("dataset", ["synthetic", "ui_prmd"])
def test_table_3s_rows_share_data_and_test_clips(dataset):
    runs = table03_counting.table(dataset=dataset).runs()
    shared = ("data.dataset", "data.split", "data.frames", "data.crops", "data.test_crops", "data.labels")
    assert len({tuple(parameters(run)[name] for name in shared) for run in runs}) == 1


def test_learned_methods_without_a_head_of_their_own_train_alike():
    alike = [row for row in table03_counting.table().rows if row.method not in counting_methods.OWN_HEADS]
    trained = {run.train for row in alike for run in row.runs}
    assert len(trained - {protocol.FITTED}) == 1


def test_with_published_recipes_only_the_training_of_learned_methods_differs():
    ours, theirs = (
        {row.method: row.runs for row in table03_counting.table(preset="tiny", recipe=recipe).rows}
        for recipe in ("ours", "published")
    )
    assert counting_methods.PUBLISHED.keys() == {id for id, runs in ours.items() if runs[0].train.epochs}
    for id, spec in counting_methods.PUBLISHED.items():
        for one, other in zip(ours[id], theirs[id], strict=True):
            assert (other.train, other.init_from, other.init_parts) == (spec, None, ())
            assert (other.method, other.data, other.seed) == (one.method, one.data, one.seed)
    assert all(theirs[id] == runs for id, runs in ours.items() if id not in counting_methods.PUBLISHED)


def test_table_4s_augmentation_arm_differs_in_the_training_crops_only():
    base = table04_ablations.base_run("tiny", "synthetic")
    assert difference(table04_ablations.without_augmentation(base), base) == {"data.crops"}
    assert parameters(base)["data.test_crops"] == "10"


@pytest.mark.parametrize("encoder", ["clip", "bert", "lexical"])
def test_table_4s_encoder_arms_differ_in_the_encoder_only(encoder):
    base = table04_ablations.base_run("tiny", "synthetic")
    assert difference(table04_ablations.with_encoder(base, encoder), base) == {"data.text.encoder"}


def test_table_4_varies_the_cross_attention_of_table_3_and_shares_its_runs():
    base = table04_ablations.base_run("tiny", "synthetic")
    assert parameters(base)["method.fusion"] == "cross_attention"
    third = {row.method: row.runs for row in table03_counting.table().rows}
    fourth = {row.method: row.runs for row in table04_ablations.table().rows}
    assert fourth["augmentation_on"] == fourth["encoder_minilm"] == third["hl_rac_cross_attention"]


def test_table_6s_levels_differ_in_the_caption_only_and_level_1_is_table_3s():
    rows = [row.runs[0] for row in table06_captions.table().rows]
    assert [difference(run, rows[0]) for run in rows] == [
        set(),
        {"data.text.caption_level"},
        {"data.text.caption_level"},
    ]
    assert rows[0] in table03_counting.table().runs()


def test_ui_prmd_is_split_by_person_and_an_unknown_dataset_is_refused():
    assert {run.data.split for run in table03_counting.table(dataset="ui_prmd").runs()} == {"by_person"}
    with pytest.raises(RunError, match="no split"):
        table03_counting.table(dataset="mystery")
    with pytest.raises(RunError, match="choose one of demo, tiny, counter, paper"):
        table03_counting.table(preset="huge")


def test_bert_is_the_papers_encoder_and_can_be_replaced():
    def encoders(table: Table) -> set[str]:
        return {run.data.text.encoder for run in table.runs() if run.data.text}

    assert encoders(table03_counting.table(preset="paper")) == {"bert"}
    assert encoders(table03_counting.table(preset="tiny")) == {"minilm"}
    assert encoders(table03_counting.table(preset="paper", text_encoder="lexical")) == {"lexical"}


def test_the_demos_ablation_is_the_whole_cross():
    ablation = demo.ablation()
    runs = ablation.runs()
    assert len(runs) == len(set(runs)) == 18
    varied = {"method.fusion", "data.text.encoder", "data.text.caption_level"}
    assert set().union(*(difference(run, runs[0]) for run in runs)) == varied
    assert len({name for name, _ in ablation.arms}) == 18


def test_the_demos_table_3_takes_its_hl_rac_rows_from_the_ablation():
    rows = [row for row in demo.table().rows if row.method.startswith("hl_rac")]
    assert {run for row in rows for run in row.runs} <= set(demo.ablation().runs())


def test_every_point_of_the_demos_search_is_an_arm():
    points = {
        demo.space(Suggestions(fusion=fusion, text_encoder=encoder, caption_level=level))
        for fusion in protocol.FUSIONS
        for encoder in demo.ENCODERS
        for level in protocol.LEVELS
    }
    assert points == set(demo.ablation().runs())
    assert demo.sweep().space is demo.space


def test_the_search_rounds_the_learning_rate_so_that_runs_can_be_shared():
    fixed = {"fusion": "addition", "text_encoder": "minilm", "caption_level": 2}
    space = search_hlrac.sweep(preset="tiny").space
    first, second = (space(Suggestions(**fixed, learning_rate=rate)) for rate in (0.0012345, 0.0012011))
    assert first == second
    assert first.train.learning_rate == 0.0012


def test_a_search_with_the_presets_rate_meets_table_3s_run():
    rate = protocol.TINY.recipe.train.learning_rate
    point = Suggestions(fusion="multiplication", text_encoder="minilm", caption_level=1, learning_rate=rate)
    assert search_hlrac.space(point) in table03_counting.table().runs()


def test_each_preset_and_dataset_has_its_own_study():
    names = {search_hlrac.sweep(preset=p, dataset=d).name for p in PRESETS for d in ("synthetic", "ui_prmd")}
    assert len(names) == 2 * len(PRESETS)


def test_the_catalogue_lists_each_method_that_the_tables_run_once():
    used = {type(run.method) for run in table03_counting.table().runs()}
    assert used == set(COUNTING)
    assert len(COUNTING) == len(used)


def test_a_preset_gives_hl_rac_and_transrac_the_same_network():
    for size in protocol.PRESETS.values():
        ours, theirs = (to_json(method) for method in (protocol.hl_rac(size, "addition"), protocol.transrac(size)))
        assert {name for name in ours if ours[name] != theirs.get(name)} == {"type", "fusion", "tokens"}


def test_table_5_is_table_3_in_the_seven_columns_of_the_split():
    third, fifth = table03_counting.table(), table05_body_parts.table()
    assert [(row.method, row.runs) for row in fifth.rows] == [(row.method, row.runs) for row in third.rows]
    assert {part.label: part.body_parts for part in fifth.slices} == dict(COLUMNS)
    assert len(fifth.columns) == 14


def test_table_5s_cells_are_beside_the_printed_ones_of_their_body_part():
    rows = {row.method: row for row in table05_body_parts.table().rows}
    for printed in published(5).rows:
        for key, value in printed.metrics.items():
            assert rows[str(printed.arm["method"])].published[f"{printed.arm['body_part']}/{key}"] == value


def test_table_7_has_the_papers_rows_and_never_runs_a_video():
    table = table07_repcount_a.table()
    assert [row.published for row in table.rows] == [row.metrics for row in published(7).rows]
    assert [row.group for row in table.rows] == [row.arm["input"] for row in published(7).rows]
    assert {row.why_not for row in table.rows if row.group == "Video"} == {"reads videos, printed only"}
    assert sum(bool(row.runs) for row in table.rows) == sum(bool(row.runs) for row in table03_counting.table().rows)


def test_table_7_is_of_repcount_a_from_random_weights_on_whole_videos_with_descriptions():
    runs = table07_repcount_a.table(preset="tiny").runs()
    assert {(run.data.dataset, run.data.split, run.data.test_crops) for run in runs} == {("repcount_a", "released", 1)}
    assert not any(run.init_from for run in runs)
    assert {run.data.text.caption_level for run in runs if run.data.text} == {2}
    with pytest.raises(RunError, match="table 7 is of RepCountA"):
        table07_repcount_a.table(dataset="synthetic")


def test_chance_is_drawn_from_the_range_that_the_printed_hits_fit():
    def highest(table: Table) -> set[str]:
        (row,) = (row for row in table.rows if row.method == "random")
        return {parameters(run)["method.high"] for run in row.runs}

    assert highest(table03_counting.table()) == {"32"}
    assert highest(table07_repcount_a.table()) == {"70"}


@cache
def transfer_rows(group: str, preset: str = "tiny") -> dict[str, tuple[Run, ...]]:
    """Method -> runs of the rows of one group of the transfer table."""
    rows = [row for row in table_transfer.table(preset=preset).rows if row.method.startswith(f"{group}_")]
    return {row.method.removeprefix(f"{group}_"): row.runs for row in rows}


@pytest.mark.parametrize("preset", PRESETS)
def test_on_ui_prmd_unseen_persons_is_table_3_and_unseen_movements_differ_in_the_split_only(preset):
    persons, movements = transfer_rows("persons", preset), transfer_rows("movements", preset)
    third = table03_counting.table(preset=preset, dataset="ui_prmd")
    assert persons == {row.method: row.runs for row in third.rows if row.runs}
    assert persons.keys() == movements.keys()
    for method, runs in movements.items():
        for run, other in zip(runs, persons[method], strict=True):
            assert difference(run, other) == {"data.split"}
            assert run.data.split == "by_action"
            assert run.init_from == other.init_from


@pytest.mark.parametrize(("group", "dataset"), [("ui_prmd", "ui_prmd"), ("cmu", "cmu_exercise")])
def test_a_transferred_model_is_table_3s_judged_elsewhere_with_the_same_language(group, dataset):
    third = {row.method: row.runs for row in table03_counting.table().rows}
    rows = {m: r for m, r in transfer_rows(group).items() if m not in counting_methods.UNTRAINED}
    assert rows.keys() == {m for m, runs in third.items() if runs and m not in counting_methods.UNTRAINED}
    for method, runs in rows.items():
        assert tuple(run.init_from for run in runs) == third[method]
        for run in runs:
            assert run.is_transfer
            assert run.parent is not None
            assert (run.method, run.data.text) == (run.parent.method, run.parent.data.text)
            assert (run.data.dataset, run.data.frames) == (dataset, run.parent.data.frames)


def test_transfer_to_ui_prmd_is_tested_on_the_clips_of_unseen_persons_and_cmu_on_whole_intervals():
    def tested(runs: tuple[Run, ...]) -> tuple[str, str, int, str]:
        data = runs[0].data
        return data.dataset, data.split, data.test_crops, data.test_windows

    windows = ("ui_prmd", "by_person", 10, "counts")
    assert {tested(runs) for runs in transfer_rows("ui_prmd").values()} == {windows}
    assert {tested(runs) for runs in transfer_rows("persons").values()} == {windows}
    assert {tested(runs) for runs in transfer_rows("cmu").values()} == {("cmu_exercise", "all_test", 1, "crops")}
    assert set(counting_methods.UNTRAINED) <= transfer_rows("cmu").keys()


def variation_rows(preset: str = "tiny") -> dict[tuple[str, str], tuple[Run, ...]]:
    """(trained on, tested on) -> runs of a row of the variation table."""
    found = {}
    for row in table_variation.table(preset=preset).rows:
        pairs = {(run.parent.data.dataset, run.data.dataset) for run in row.runs if run.parent}
        found[pairs.pop()] = row.runs
        assert not pairs
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_the_variation_table_removes_each_group_alone_and_all_and_tests_both_real_datasets(preset):
    rows = variation_rows(preset)
    assert set(rows) == {(trained, real) for trained in variation.DATASETS for real in ("ui_prmd", "cmu_exercise")}
    assert list(table_variation.LABELS) == list(variation.DATASETS)
    labels = [row.label for row in table_variation.table(preset=preset).rows]
    assert labels == 2 * list(table_variation.LABELS.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_of_the_variation_table_differ_in_the_random_motions_that_they_are_trained_on_only(preset):
    rows = variation_rows(preset)
    (base,) = {runs[0].parent for (trained, _), runs in rows.items() if trained == "procedural"}
    assert base is not None
    for (trained, _), runs in rows.items():
        assert [run.seed for run in runs] == list(protocol.SEEDS)
        source = runs[0].parent
        assert source is not None
        assert difference(source, base) == ({"data.dataset"} if trained != "procedural" else set())


def test_the_variation_table_trains_twelve_epochs_without_text_on_nothing_but_random_motions():
    for preset in PRESETS:
        for runs in variation_rows(preset).values():
            source = runs[0].parent
            assert source is not None
            assert source.init_from is None
            assert source.data.text is None
            assert source.method == protocol.transrac(protocol.preset(preset))
            assert (source.data.split, source.train.epochs, source.train.keep) == ("from_procedural", 12, "last")


def test_the_variation_table_tests_the_clips_of_the_transfer_table():
    rows = variation_rows()
    for group, real in (("ui_prmd", "ui_prmd"), ("cmu", "cmu_exercise")):
        clips = {run.data for run in transfer_rows(group)["transrac"]}
        assert {run.data for (_, tested), runs in rows.items() if tested == real for run in runs} == clips


DECLARED = {
    "profile_released": {
        "method.profile.text_axis",
        "method.profile.axes",
        "method.profile.orientation",
        "method.profile.initialization",
        "method.profile.divisor",
        "method.profile.leftovers",
    },
    "axes_scrambled": {"method.profile.axes"},
    "text_axis_receiver": {"method.profile.text_axis"},
    "attention_tokens": {"method.tokens", "data.text.tokens"},
    "text_shuffled": {"data.text.caption"},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_an_arm_of_the_ablations_differs_from_the_first_of_its_group_in_the_declared_fields_only(preset):
    arms, compared = table_ablations.arms(protocol.preset(preset), "synthetic"), {}
    for arm in arms:
        first = next(other for other in arms if other.group == arm.group)
        if arm.id in DECLARED:
            compared[arm.id] = difference(arm.run, first.run)
    assert compared == DECLARED


@pytest.mark.parametrize("preset", PRESETS)
def test_the_layer_arms_differ_in_depth_only_and_one_of_each_method_is_table_3s_where_it_has_that_depth(preset):
    runs = {arm.id: arm.run for arm in table_ablations.arms(protocol.preset(preset), "synthetic")}
    third = set(table03_counting.table(preset=preset).runs()) | set(
        table03_counting.table(preset=preset, dataset="synthetic").runs()
    )
    for method in ("transrac", "hl_rac"):
        one, three = (runs[f"layers_{method}_{depth}"] for depth in (1, 3))
        assert difference(one, three) == {"method.layers"}
        assert len({one, three} & third) == (protocol.preset(preset).network.layers in table_ablations.DEPTHS)


def test_the_bases_of_the_ablations_are_table_3s_runs():
    third = {row.method: row.runs for row in table03_counting.table().rows}
    rows = {row.method: row.runs for row in table_ablations.table().rows}
    for base in ("profile_paper", "axes_correct", "text_axis_source", "text_true"):
        assert rows[base] == third["hl_rac_multiplication"]
    assert rows["attention_pooled"] == third["hl_rac_cross_attention"]
    assert rows["text_none"] == third["transrac"]


@pytest.mark.parametrize("preset", ["demo", "tiny"])
def test_an_arm_starts_from_the_presets_network_unless_that_has_other_inputs_or_another_shape(preset):
    size = protocol.preset(preset)
    runs = {arm.id: arm.run for arm in table_ablations.arms(size, size.dataset)}
    shared = runs["profile_paper"].init_from
    own = {id: run.parent for id, run in runs.items() if run.init_from != shared}
    depths = {depth for depth in table_ablations.DEPTHS if depth != size.network.layers}
    layers = {f"layers_{method}_{depth}" for method in ("transrac", "hl_rac") for depth in depths}
    assert set(own) == {"profile_released", "axes_scrambled"} | layers
    twin = Run(
        method=protocol.transrac(size),
        data=protocol.data(size, size.dataset),
        train=size.warm_start_for(size.dataset) or protocol.FITTED,
    )
    assert shared == (size.weights or twin)
    for id, start in own.items():
        assert start is not None
        assert (start.data, start.train) == (twin.data, twin.train)
        assert difference(start, twin) == difference_of_network(size, id)
        assert start == own[id.replace("hl_rac", "transrac")]


def difference_of_network(size: protocol.Preset, id: str) -> set[str]:
    """The declared fields of an arm that the network without text has too, and that differ there."""
    return {"method.layers"} if "layers" in id else DECLARED[id] - {"method.profile.text_axis"}


def test_the_released_arm_keeps_the_recipes_scale():
    (arm,) = (arm for arm in table_ablations.arms(protocol.TINY, "synthetic") if arm.id == "profile_released")
    assert parameters(arm.run)["method.profile.density_scale"] == "100.0"
    assert arm.run.train == protocol.TINY.recipe.train


def test_a_method_with_a_head_of_its_own_is_one_line(monkeypatch):
    head = OwnHead(sized=protocol.transrac, epochs={"tiny": 9})
    monkeypatch.setattr(counting_methods, "OWN_HEADS", {"repnet": head})
    rows = {row.method: row for row in table03_counting.table(seeds=(0, 1)).rows}
    for seed, run in enumerate(rows["repnet"].runs):
        assert run.init_parts == ("encoder",)
        assert run.init_from == rows["transrac"].runs[seed].init_from
        assert (run.train.epochs, run.seed) == (9, seed)
        assert replace(run.train, epochs=protocol.TINY.recipe.train.epochs) == protocol.TINY.recipe.train
    for name in ("5", "7", "transfer"):
        assert any(row.method.endswith("repnet") and row.runs for row in load_table(name).rows)
    for dataset in ("ui_prmd", "repcount_a"):
        (run,) = counting_methods.runs(Asked(size=protocol.TINY, dataset=dataset, seeds=(0,)))["repnet"]
        assert run.train.epochs == protocol.TINY.recipe_for(dataset).train.epochs > 9
    whole = {row.method: row for row in table03_counting.table(preset="paper", seeds=(0,)).rows}
    assert whole["repnet"].runs[0].init_from is None
    assert whole["repnet"].runs[0].init_parts == ()


def test_a_dataset_with_a_recipe_of_its_own_says_so_under_its_table():
    (note,) = [note for note in table03_counting.table(dataset="ui_prmd").notes if "crops per sequence" in note]
    learned = {run.data for run in table03_counting.table(dataset="ui_prmd").runs() if run.train != protocol.FITTED}
    assert {f"{data.crops} crops" for data in learned} == {note.removeprefix("Training clips: ").split(" per")[0]}
    assert not [note for note in table03_counting.table().notes if "crops per sequence" in note]
