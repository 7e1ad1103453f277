"""`flag3d figure`: pictures of what trained networks do inside, from the runs of Table 3."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from flag3d_ray.budget import parse_budget
from flag3d_ray.commands.exclusions import stored_exclusions
from flag3d_ray.commands.launch import Launch, interruptible, resources
from flag3d_ray.commands.options import (
    AddressOption,
    BudgetOption,
    ConcurrentOption,
    DatasetOption,
    EncoderOption,
    ExcludeOption,
    ExecutorOption,
    HomeOption,
    PresetOption,
    PriceOption,
    RetryOption,
    TrackOption,
    WorkersOption,
    wide_console,
)
from flag3d_ray.errors import RunError
from flag3d_ray.home import Home

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from flag3d_ray.evaluation.examined import Examined
    from flag3d_ray.figures import FeatureFigure, JointWeightFigure, Networks

GUIDED, TEXT_FREE = "HL-RAC", "TransRAC"
LANGUAGE = {GUIDED: "with language", TEXT_FREE: "without language"}
SeedOption = Annotated[int, typer.Option("--seed", help="The seed of the two runs.")]
FusionOption = Annotated[
    str, typer.Option("--fusion", help="HL-RAC's fusion: addition, cross_attention or multiplication.")
]

figure = typer.Typer(
    help="Draw a figure of the paper from runs of Table 3, which are made where they are missing.",
    epilog="Example: flag3d figure 8 --preset tiny",
    no_args_is_help=True,
)


@figure.command("8")
def features(
    preset: PresetOption = "tiny",
    dataset: DatasetOption = "",
    seed: SeedOption = 0,
    text_encoder: EncoderOption = "",
    fusion: FusionOption = "multiplication",
    exclude: ExcludeOption = None,
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    executor: ExecutorOption = "ray",
    workers: WorkersOption = 1,
    concurrent: ConcurrentOption = 0,
    address: AddressOption = "local",
    retry_failed: RetryOption = False,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Figure 8: the first principal component of the encoders' features over time, beside the true repetitions.

    Clips are chosen by rule: of four tested actions, at equal distances in the order of their ids, the clip with the median
    true count.

    Example: flag3d figure 8 --preset demo
    """
    from flag3d_ray.declarations import feature_figure

    asked = {"preset": preset, "dataset": dataset, "seed": seed, "text_encoder": text_encoder, "fusion": fusion}
    declared = feature_figure(**asked)
    surroundings = resources(executor, workers, concurrent, address)
    allowed = parse_budget(budget, price_per_hour) if budget else None
    launch = Launch(Home.at(home), surroundings, wide_console(), track, retry_failed, budget=allowed)
    declared = replace(declared, networks=_asked(declared.networks, launch, "flag3d figure 8", exclude))
    compared = _examined(declared.networks, launch, "Figure 8")
    caption = f"Fig. 8: first principal component of encoder features, {_setting(declared.networks)}"
    _write(_features(declared, compared), declared.file, caption, compared, launch)


@figure.command("9")
def joint_weights(
    preset: PresetOption = "tiny",
    dataset: DatasetOption = "",
    seed: SeedOption = 0,
    text_encoder: EncoderOption = "",
    fusion: FusionOption = "multiplication",
    graph: Annotated[
        str,
        typer.Option("--graph", help="What of the graph is weighed: whole, or data, its part that clip and text make."),
    ] = "whole",
    end: Annotated[
        str, typer.Option("--end", help="The end of an edge that weighs: source, the joint that is read, or target.")
    ] = "source",
    exclude: ExcludeOption = None,
    budget: BudgetOption = "",
    price_per_hour: PriceOption = None,
    executor: ExecutorOption = "ray",
    workers: WorkersOption = 1,
    concurrent: ConcurrentOption = 0,
    address: AddressOption = "local",
    retry_failed: RetryOption = False,
    track: TrackOption = True,
    home: HomeOption = None,
) -> None:
    """Figure 9: the four joints that weigh most in the encoders' graphs, with language and without.

    The paper defines no weight. Here it is a joint's share in the absolute entries of a block's graph, the mean over blocks
    and over up to 32 test clips of the action.

    Example: flag3d figure 9 --preset demo --graph data
    """
    from flag3d_ray.declarations import joint_weight_figure
    from flag3d_ray.figures import GraphPart, JointEnd

    asked = {"preset": preset, "dataset": dataset, "seed": seed, "text_encoder": text_encoder, "fusion": fusion}
    declared = joint_weight_figure(
        part=_one_of("--graph", graph, GraphPart), end=_one_of("--end", end, JointEnd), **asked
    )
    surroundings = resources(executor, workers, concurrent, address)
    allowed = parse_budget(budget, price_per_hour) if budget else None
    launch = Launch(Home.at(home), surroundings, wide_console(), track, retry_failed, budget=allowed)
    declared = replace(declared, networks=_asked(declared.networks, launch, "flag3d figure 9", exclude))
    compared = _examined(declared.networks, launch, "Figure 9")
    caption = f"Fig. 9: joints that weigh most ({graph} graph, {end} joints), {_setting(declared.networks)}"
    _write(_joint_weights(declared, compared), declared.file, caption, compared, launch)


def _asked(networks: "Networks", launch: Launch, command: str, exclude: Path | None) -> "Networks":
    """The runs without the sequences of the list, once the budget allows them; there is no smaller figure to fall back on."""
    if launch.budget is not None:
        from flag3d_ray.plan.estimate import Asked, Stage

        asked = Asked(f"{command} --preset {networks.preset}", (Stage((networks.guided, networks.text_free)),))
        launch.require_budget(asked, iter(()))
    return networks if exclude is None else networks.excluding(stored_exclusions(launch, networks.dataset, exclude))


def _examined(networks: "Networks", launch: Launch, title: str) -> "dict[str, Examined]":
    """Both runs finished, and opened again by the name of their network."""
    from flag3d_ray.data.text_encoders import encoder
    from flag3d_ray.evaluation.examined import examine
    from flag3d_ray.execution import require_finished

    if networks.guided.data.text is not None:
        encoder(networks.guided.data.text.encoder)  # a table shows `not run` and goes on, here there is nothing to show
    compared = {GUIDED: networks.guided, TEXT_FREE: networks.text_free}
    with interruptible(launch.console):
        cells = launch.ensure(
            compared.values(), f"{title}, preset {networks.preset}, {networks.dataset}", networks.group
        )
    require_finished(cells)
    folders = {cell.run: cell.folder for cell in cells}
    return {name: examine(folders[run], launch.home) for name, run in compared.items()}


def _features(declared: "FeatureFigure", compared: "dict[str, Examined]") -> "Figure":
    from flag3d_ray.evaluation.examined import encoded, true_repetitions, typical_rows
    from flag3d_ray.viz.feature_plot import Lane, Row, feature_figure

    first = compared[GUIDED]
    rows = []
    for clip in typical_rows(first, declared.clips):
        lanes = [
            Lane(network=name, features_TF=encoded(one, clip), count=float(one.count_N[clip]))
            for name, one in compared.items()
        ]
        title = f"{first.action_name(clip)}: {first.truth_N[clip]:.0f} repetitions"
        rows.append(Row(title=title, reps_T=true_repetitions(first, clip), lanes=tuple(lanes)))
    return feature_figure(
        rows,
        title="Figure 8: first principal component of encoder features",
        subtitle=f"{_setting(declared.networks)}. Shaded: true repetitions. "
        "The sign of a component is arbitrary; here borders of repetitions are low.",
    )


def _joint_weights(declared: "JointWeightFigure", compared: "dict[str, Examined]") -> "Figure":
    from flag3d_ray.evaluation.examined import mean_joint_weights, panel_actions, shown_joints, typical_row
    from flag3d_ray.viz.joint_weight_plot import WeightedAction, joint_weight_figure

    first = compared[GUIDED]
    actions = []
    for panel, action in panel_actions(first, declared.panels).items():
        clip = typical_row(first, action)
        actions.append(
            WeightedAction(
                title=first.action_name(clip),
                note="" if action == panel.action_id else f"in place of “{panel.printed}”, not tested here",
                joints_TVC=shown_joints(first, clip),
                weights={
                    f"{name}, {LANGUAGE[name]}": mean_joint_weights(one, action, declared)
                    for name, one in compared.items()
                },
            )
        )
    return joint_weight_figure(
        actions,
        first.skeleton,
        title="Figure 9: the four joints that weigh most in the graph, with language and without",
        subtitle=f"{_setting(declared.networks)}. Area: a joint's share in the graph (--graph {declared.part}, "
        f"--end {declared.end}), mean over blocks and up to {declared.clips} test clips; equal shares would be "
        f"{100 / len(first.skeleton):.1f} %. Trunks are drawn upright.",
    )


def _one_of(option: str, value: str, kind: Any) -> Any:
    """The value, if it is one of those of a `Literal`.

    Raises:
        RunError: it is none of them.
    """
    if value not in (known := get_args(kind)):
        raise RunError(where=f"{option} {value}", rule="unknown", remedy=f"use {' or '.join(known)}")
    return value


def _setting(networks: "Networks") -> str:
    """What a reader must know of the runs: data, preset, fusion, encoder, seed."""
    limits = "; synthetic - not comparable" if networks.dataset.startswith("synthetic") else ""
    if networks.guided.data.exclude:
        limits += f"; without the sequences of list {networks.guided.data.exclude}"
    return (
        f"{networks.dataset}, preset {networks.preset}, {networks.guided.label} and {networks.text_free.label}{limits}"
    )


def _write(drawn: "Figure", file: str, caption: str, compared: "dict[str, Examined]", launch: Launch) -> None:
    """The picture in the home and, unless it is switched off, in MLflow at both runs."""
    from flag3d_ray.figures import Picture, pictures_folder, write_picture

    folder = pictures_folder(launch.home)
    picture = Picture(folder / file, caption, tuple(one.key for one in compared.values()))
    write_picture(drawn, picture)
    launch.console.print(f"written: {picture.path}", soft_wrap=True, highlight=False)
    if launch.track:
        from flag3d_ray.tracking import Place, log_figures

        try:
            log_figures(folder, Place(launch.home.mlflow_uri, launch.home.local / "mlruns"))
        except RunError as error:
            launch.console.print(f"not in MLflow ({error.rule}): {error.remedy}", soft_wrap=True, markup=False)
