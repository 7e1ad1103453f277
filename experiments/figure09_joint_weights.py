"""Figure 9: the four joints that weigh most in the graphs of HL-RAC, with language, and of TransRAC, without.

Paper: FLAG3D++, Section 5.1, Fig. 9, for four test actions. "Shoulder External Rotation" is no name of the sixty: another
tested action of the shoulder stands in its place and says so. What a weight is the paper leaves open; `part` and `end`
choose (`models.inspection`), and the default reads "the graph matrix" as all of it and follows Eq. 8, where text weighs the
joint that is read.
Command: flag3d figure 9 --preset demo
Expected time: a minute after Table 3, whose runs these are.
Expected output: joints that change with the action where there is language. Without it the whole graph hardly changes: its
data-dependent part is small, `--graph data` shows that part alone.
"""

from experiments import figure08_features
from flag3d_ray.figures import GraphPart, JointEnd, JointWeightFigure, Panel

PANELS = (
    Panel(printed="Shoulder External Rotation", body_part="shoulder"),
    Panel(printed="Kneeling Right Arm Raise", action_id="A035"),
    Panel(printed="Lying Shoulder Joint Upward Round", action_id="A015"),
    Panel(printed="Prone Press With Torso Rotation", action_id="A040"),
)
CLIPS = 32


def figure(
    *,
    preset: str = "tiny",
    dataset: str = "",
    seed: int = 0,
    text_encoder: str = "",
    fusion: str = "multiplication",
    part: GraphPart = "whole",
    end: JointEnd = "source",
) -> JointWeightFigure:
    """The figure for one seed; `dataset` and `text_encoder` replace the preset's."""
    compared = figure08_features.networks(
        preset=preset, dataset=dataset, seed=seed, text_encoder=text_encoder, fusion=fusion
    )
    return JointWeightFigure(networks=compared, panels=PANELS, clips=CLIPS, part=part, end=end)
