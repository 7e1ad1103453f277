"""Scoring from the store: numbers, intervals, verdicts and reasons, on generated predictions."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flag3d_ray import scoring
from flag3d_ray.data.exclusions import Exclusions, store_exclusions
from flag3d_ray.errors import EncoderUnreachable, RunError
from flag3d_ray.files import write_json
from flag3d_ray.home import Home
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.metrics import counting_metrics
from flag3d_ray.render.wording import notes
from flag3d_ray.run import DataSpec, Run, Text, parameters
from flag3d_ray.scoring import clip_values, not_here, score, verdict
from flag3d_ray.statistics import Interval
from flag3d_ray.tables import COUNTING_METRICS, VARIANTS, Column, Row, ScoredTable, Size, Slice, Table, Variant

ACTIONS, SEQUENCES, CROPS = 4, 3, 2
CLIPS = ACTIONS * SEQUENCES * CROPS
BODY_PARTS = ("arm", "arm", "leg", "hip")
ARM = Slice(id="arm", label="Arm", body_parts=("arm",))
LEG = Slice(id="leg", label="Leg", body_parts=("leg", "hip"))
WAIST = Slice(id="waist", label="Waist", body_parts=("waist",))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    """A home whose runs are named by label and seed, on a dataset that passes for being there."""

    def key(run: Run, _home: Home) -> str:
        if run.data.text is not None:
            raise EncoderUnreachable(where="bert", rule="nowhere", remedy="download it")
        return f"low{parameters(run)['method.low']}-seed{run.seed}"

    monkeypatch.setattr(scoring, "run_key", key)
    monkeypatch.setattr(scoring, "not_here", lambda run, home: "")
    return Home(tmp_path)


def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 20, CLIPS).astype(float)


def finish(home: Home, run: Run, count_N: np.ndarray, truth_N: np.ndarray, order=None) -> None:
    """Write the predictions and metrics of a finished run."""
    rows = range(CLIPS) if order is None else order
    actions = [f"A{clip // (SEQUENCES * CROPS):03d}" for clip in range(CLIPS)]
    sequences = [f"{actions[clip]}S{clip // CROPS:03d}" for clip in range(CLIPS)]
    columns = {
        "clip_id": [f"clip{clip:04d}" for clip in rows],
        "sample_id": [sequences[clip] for clip in rows],
        "action_id": [actions[clip] for clip in rows],
        "body_part": [BODY_PARTS[clip // (SEQUENCES * CROPS)] for clip in rows],
        "subject": ["P1"] * CLIPS,
        "truth": [truth_N[clip] for clip in rows],
        "count": [count_N[clip] for clip in rows],
    }
    folder = home.store.folder(scoring.run_key(run, home))
    folder.path.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder.predictions)
    write_json(folder.metrics_path, {})


def row(*seeds: int, low: int = 1, text: Text | None = None, **more) -> Row:
    runs = tuple(Run(method=Random(low=low), data=DataSpec(text=text), seed=seed) for seed in seeds)
    return Row(method=f"random{low}", label="Random", runs=runs, **more)


def table(*rows: Row, dataset: str = "synthetic", preset: str = "tiny") -> Table:
    return Table(name="3", title="Counting", dataset=dataset, preset=preset, rows=rows)


@pytest.mark.parametrize("variant", [Variant(f, r) for f in ("paper", "released") for r in (False, True)])
def test_the_mean_of_a_cell_is_the_mean_over_seeds_of_the_metric(home, variant):
    truth_N, rng, declared = truth(), np.random.default_rng(1), row(0, 1, 2)
    counts = [truth_N + rng.normal(0, 1, CLIPS) for _ in range(3)]
    for run, count_N in zip(declared.runs, counts, strict=True):
        finish(home, run, count_N, truth_N)
    scored = score(table(declared), home, variant=variant, draws=50)
    suffix = ("_released" if variant.formula == "released" else "", "_rounded" if variant.rounded else "")
    for key in COUNTING_METRICS:
        name = f"{key}{suffix[0] if key == 'mae' else ''}{suffix[1]}"
        expected = np.mean([counting_metrics(count_N, truth_N)[name] for count_N in counts])
        measured = scored.cell(f"T3:random1:{key}").measured
        assert measured is not None
        assert measured.mean == pytest.approx(expected, abs=1e-12)
        assert measured.low <= measured.mean <= measured.high


def test_the_rows_of_a_predictions_file_may_stand_in_any_order(home):
    truth_N, declared = truth(), row(0, 1)
    count_N = truth_N + np.linspace(-2, 2, CLIPS)
    finish(home, declared.runs[0], count_N, truth_N)
    finish(home, declared.runs[1], count_N, truth_N, order=range(CLIPS - 1, -1, -1))
    cell = score(table(declared), home, draws=50).cell("T3:random1:mae")
    assert cell.measured is not None
    assert cell.measured.mean == pytest.approx(counting_metrics(count_N, truth_N)["mae"])


def test_scoring_twice_gives_equal_tables(home):
    truth_N, declared = truth(), row(0, 1)
    for run in declared.runs:
        finish(home, run, truth_N + run.seed, truth_N)
    assert score(table(declared), home, draws=50) == score(table(declared), home, draws=50)


def test_a_scored_row_counts_its_test_set(home):
    declared = row(0)
    finish(home, declared.runs[0], truth(), truth())
    scored = score(table(declared), home, draws=20).rows[0]
    assert (scored.seeds, scored.size) == (1, Size(CLIPS, ACTIONS * SEQUENCES, ACTIONS))


def test_a_table_says_on_what_its_networks_were_trained_and_in_which_precision(home):
    declared = row(0, 1)
    for run, device in zip(declared.runs, ("cpu", "NVIDIA H200"), strict=True):
        finish(home, run, truth(), truth())
        home.store.folder(scoring.run_key(run, home)).write_record(device=device)

    scored = score(table(declared), home)

    assert scored.computed == ("float32 on NVIDIA H200", "float32 on cpu")
    assert "Trained in float32 on NVIDIA H200 and in float32 on cpu." in notes(scored)


def test_clips_without_repetitions_leave_the_mae_and_stay_in_the_rest(home):
    truth_N, declared = truth(), row(0)
    truth_N[3] = 0.0
    count_N = truth_N + 1.0
    finish(home, declared.runs[0], count_N, truth_N)
    scored = score(table(declared), home, draws=20)
    for key in ("mae", "obo/1"):
        measured = scored.cell(f"T3:random1:{key}").measured
        assert measured is not None
        assert measured.mean == pytest.approx(counting_metrics(count_N, truth_N)[key])


def test_seeds_that_were_tested_on_different_clips_are_refused(home):
    truth_N, declared = truth(), row(0, 1)
    finish(home, declared.runs[0], truth_N, truth_N)
    finish(home, declared.runs[1], truth_N, truth_N + 1)
    with pytest.raises(RunError, match="test clips differ"):
        score(table(declared), home)


def test_a_damaged_predictions_file_is_named(home):
    declared = row(0)
    finish(home, declared.runs[0], truth(), truth())
    path = home.store.folder("low1-seed0").predictions
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"low1-seed0.predictions\.parquet: predictions are missing or damaged"):
        score(table(declared), home)


def test_a_row_that_nothing_was_run_for_says_so_and_keeps_the_printed_number(home):
    later = Row(method="repnet", label="RepNet", why_not="a later release", published={"mae": 0.2534})
    scored = score(table(later, row(0)), home)
    assert [(r.state, r.reason) for r in scored.rows] == [("not run", "a later release"), ("not run", "not run yet")]
    cell = scored.cell("T3:repnet:mae")
    assert (cell.measured, cell.published, cell.verdict) == (None, 0.2534, "not run")


def test_an_unreachable_encoder_is_a_reason_and_no_error(home):
    scored = score(table(row(0, 1, text=Text(encoder="bert"))), home)
    assert (scored.rows[0].state, scored.rows[0].reason) == ("not run", "text encoder bert unreachable")


def test_a_failed_row_gives_each_reason_once_and_no_path(home):
    declared = row(0, 1, 2)
    for run, why in zip(declared.runs, ("loss is NaN", "loss is NaN", f"{home.root}/x is gone"), strict=True):
        home.store.folder(scoring.run_key(run, home)).write_record(status="failed", reason=why)
    scored = score(table(declared), home).rows[0]
    assert scored.state == "failed"
    assert scored.reason == "failed: loss is NaN (seed 0, 1); failed: HOME/x is gone (seed 2)"


def test_a_row_of_which_one_seed_failed_is_scored_on_the_others_and_says_so(home):
    declared = row(0, 1)
    finish(home, declared.runs[0], truth(), truth())
    home.store.folder("low1-seed1").write_record(status="failed", reason="loss is NaN")
    scored = score(table(declared), home, draws=20).rows[0]
    assert (scored.state, scored.seeds, scored.reason) == ("measured", 1, "failed: loss is NaN (seed 1)")


def test_on_synthetic_data_even_an_equal_number_is_not_comparable(home):
    truth_N, declared = truth(), row(0, 1, 2, published={"mae": 0.0})
    for run in declared.runs:
        finish(home, run, truth_N, truth_N)
    assert score(table(declared), home, draws=20).cell("T3:random1:mae").verdict == "synthetic - not comparable"


@pytest.mark.parametrize(
    ("printed", "seeds", "key", "says"),
    [
        (0.30, 3, "mae", "reproduced"),
        (0.309, 3, "mae", "reproduced"),
        (0.313, 3, "mae", "close"),
        (0.40, 3, "mae", "better"),
        (0.20, 3, "mae", "worse"),
        (0.40, 3, "obo/1", "worse"),
        (0.20, 3, "obo/1", "better"),
        (0.30, 1, "mae", "1 seed"),
        (None, 3, "mae", "nothing printed"),
    ],
)
def test_verdict_on_comparable_data(printed, seeds, key, says):
    declared = row(0, published={} if printed is None else {key: printed})
    comparable = table(declared, dataset="flag3d", preset="paper")
    assert verdict(comparable, declared, Column(key), Interval(0.30, 0.29, 0.31), seeds) == says


def test_one_run_of_a_method_without_randomness_can_reproduce():
    declared = row(0, published={"mae": 0.3}, deterministic=True)
    comparable = table(declared, dataset="flag3d", preset="paper")
    assert verdict(comparable, declared, Column("mae"), Interval(0.30, 0.29, 0.31), 1) == "reproduced"


def test_clip_values_are_the_terms_of_the_metrics():
    truth_N, count_N = np.array([2.0, 4.0, 0.0]), np.array([2.5, 2.0, 1.0])
    mae_N = clip_values("mae", count_N, truth_N, Variant())
    assert mae_N[:2].tolist() == [0.25, 0.5]
    assert math.isnan(mae_N[2])
    assert clip_values("mae", count_N, truth_N, Variant("released"))[1] == pytest.approx(2.0 / 4.1)
    assert clip_values("obo/0.4", count_N, truth_N, Variant(rounded=True)).tolist() == [1.0, 0.0, 0.0]
    assert clip_values("obo/avg", count_N, truth_N, Variant()).tolist() == [0.75, 0.0, 0.25]


def test_a_scored_table_says_how_many_sequences_its_list_names(home):
    declared = table(row(0))
    assert score(declared, home).excluded == 0
    rows = Exclusions.of([("A000S000", "why"), ("A001S000", "")])
    told = declared.excluding(store_exclusions(home.dataset("synthetic"), rows, rows.sample_ids))
    assert score(told, home).excluded == 2
    assert score(told, home).table.exclude == rows.digest[:12]


def mean_of(scored: ScoredTable, id: str) -> float:
    measured = scored.cell(id).measured
    assert measured is not None
    return measured.mean


@pytest.mark.parametrize("shown", VARIANTS[:2])
def test_the_other_variants_come_with_the_one_that_is_shown(home, shown):
    truth_N, declared = truth(), row(0, 1)
    for run in declared.runs:
        finish(home, run, truth_N + np.random.default_rng(run.seed).normal(0, 1, CLIPS), truth_N)
    asked = replace(table(declared), metrics=("mae", "obo/1"))
    scored = score(asked, home, variant=shown, draws=10)
    assert tuple(one.variant for one in scored.every_variant) == VARIANTS
    for one in scored.others:
        alone = score(asked, home, variant=one.variant, draws=10)
        assert replace(one, others=()) == replace(alone, others=())
    assert len({mean_of(one, "T3:random1:mae") for one in scored.every_variant}) == 4


def sliced(declared: Row, *slices: Slice) -> Table:
    return replace(table(declared), name="5", metrics=("mae", "obo/1"), slices=slices)


def test_a_slice_is_scored_on_the_clips_of_its_body_parts(home):
    truth_N, declared = truth(), row(0, published={"arm/mae": 0.5})
    count_N = truth_N + np.linspace(0, 3, CLIPS)
    finish(home, declared.runs[0], count_N, truth_N)
    scored = score(sliced(declared, ARM, LEG), home, draws=20)
    half = CLIPS // 2
    for part, clips in (("arm", slice(0, half)), ("leg", slice(half, CLIPS))):
        expected = counting_metrics(count_N[clips], truth_N[clips])
        for key in ("mae", "obo/1"):
            assert mean_of(scored, f"T5:random1:{part}/{key}") == pytest.approx(expected[key])
        assert scored.cell(f"T5:random1:{part}/mae").size == Size(half, 2 * SEQUENCES, 2)
    assert scored.cell("T5:random1:arm/mae").published == 0.5


def test_slices_that_part_the_test_set_average_to_the_whole_by_their_clips(home):
    truth_N, declared = truth(), row(0)
    finish(home, declared.runs[0], truth_N + np.linspace(0, 3, CLIPS), truth_N)
    whole, cut = score(table(declared), home, draws=20), score(sliced(declared, ARM, LEG), home, draws=20)
    for key in ("mae", "obo/1"):
        cells = [cut.cell(f"T5:random1:{part}/{key}") for part in ("arm", "leg")]
        weighted = np.average([c.measured.mean for c in cells if c.measured], weights=[c.size.clips for c in cells])
        assert weighted == pytest.approx(mean_of(whole, f"T3:random1:{key}"))


def test_a_slice_without_a_clip_has_no_number_and_says_so(home):
    declared = row(0)
    finish(home, declared.runs[0], truth(), truth())
    cell = score(sliced(declared, ARM, WAIST), home, draws=20).cell("T5:random1:waist/mae")
    assert (cell.measured, cell.verdict, cell.size) == (None, "no clip", Size())


def test_rows_of_one_table_may_be_tested_on_several_datasets(home):
    here, other = row(0), replace(row(0, low=2), runs=(Run(method=Random(low=2), data=DataSpec(dataset="ui_prmd")),))
    for declared in (here, other):
        finish(home, declared.runs[0], truth(), truth())
    scored = score(table(here, other), home, draws=20)
    assert [(one.source.dataset, one.source.split) for one in scored.rows] == [
        ("synthetic", "by_action"),
        ("ui_prmd", "by_action"),
    ]


def test_a_run_whose_data_are_not_here_says_how_to_get_them(tiny_home, tiny_run):
    run = tiny_run()
    assert not_here(run, tiny_home) == ""
    elsewhere = replace(run, data=replace(run.data, dataset="ui_prmd"))
    assert not_here(elsewhere, tiny_home) == ("no dataset 'ui_prmd' here: flag3d data ingest ui_prmd PATH-TO-YOUR-COPY")
    assert "ui_prmd" in not_here(replace(run, init_from=elsewhere), tiny_home)
    moonlit = replace(run, data=replace(run.data, split="by_moon"))
    assert not_here(moonlit, tiny_home).startswith("no split 'by_moon'; there are: by_action: ")


def test_a_table_without_its_data_is_not_run_for_that_reason(tmp_path):
    scored = score(table(row(0)), Home(tmp_path), draws=20)
    assert scored.rows[0].state == "not run"
    assert scored.rows[0].reason == "no dataset 'synthetic' here: flag3d data make synthetic"
    assert scored.rows[0].source.digest == ""


def test_two_skeletons_do_not_share_a_network(tiny_home, tiny_run, monkeypatch):
    layouts = {"tiny": "flag3d24", "other": "cmu31"}
    for name in ("require", "is_stored"):
        monkeypatch.setattr(scoring, name, lambda *_: True)
    monkeypatch.setattr(scoring, "load_manifest", lambda folder: SimpleNamespace(layout=layouts[folder.name]))
    source = tiny_run()
    other = replace(source, data=replace(source.data, dataset="other"), init_from=source)
    assert not_here(other, tiny_home) == (
        "other is in the layout cmu31, tiny in flag3d24: "
        "flag3d data ingest other PATH-TO-YOUR-COPY --layout flag3d24 --force"
    )
    assert not_here(replace(source, init_from=source), tiny_home) == ""
