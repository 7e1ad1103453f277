"""Figures 8 and 9 of the paper: what is asked (`FeatureFigure`, `JointWeightFigure`), and pictures that name their runs.

A picture is a PNG file whose own metadata hold its caption and the keys of the runs that it was drawn from. So a report,
or a tracker that was lost, finds the pictures of a run without a list that could be wrong. Loading this loads no matplotlib.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from flag3d_ray.files import atomic_path
from flag3d_ray.home import Home
from flag3d_ray.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GraphPart = Literal["whole", "data"]
"""`whole` is `A + alpha S` and the fused text; `data` is what depends on clip and text, without the learned `A`."""
JointEnd = Literal["source", "target"]
"""The end of an edge whose joint gets its weight: the one that is read (which Eq. 8's text weighs), or the one that reads."""
_CAPTION, _RUNS = "Title", "flag3d.runs"
_DOTS_PER_INCH = 110


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What both figures compare: HL-RAC with its language and TransRAC without, rows of Table 3 with one seed.

    `group` is what their runs are grouped under in a tracker: that table's.
    """

    guided: Run
    text_free: Run
    preset: str
    dataset: str
    group: str

    @property
    def stem(self) -> str:
        """What tells two pictures of one figure apart: `demo_synthetic-demo_multiplication_minilm_seed0`."""
        text = self.guided.data.text
        fusion = getattr(self.guided.method, "fusion", self.guided.method.name)
        without = f"without-{self.guided.data.exclude}" if self.guided.data.exclude else ""
        parts = (self.preset, self.dataset, fusion, text.encoder if text else "", f"seed{self.guided.seed}", without)
        return "_".join(part for part in parts if part)

    def excluding(self, exclude: str) -> "Networks":
        """The same runs without the sequences of a list that is stored with their dataset."""
        return replace(
            self,
            guided=self.guided.excluding(self.dataset, exclude),
            text_free=self.text_free.excluding(self.dataset, exclude),
            group=f"{self.group}-without-{exclude}",
        )


@dataclass(frozen=True, kw_only=True)
class FeatureFigure:
    """Figure 8: the encoders' features over time, for `clips` test clips."""

    networks: Networks
    clips: int

    @property
    def file(self) -> str:
        return f"figure08_{self.networks.stem}.png"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """An action of Figure 9: its printed name, its id where a name of the sixty fits, and the body part of a replacement."""

    printed: str
    action_id: str = ""
    body_part: str = ""


@dataclass(frozen=True, kw_only=True)
class JointWeightFigure:
    """Figure 9: the most weighted joints of a few actions, means over up to `clips` test clips of each.

    `part` and `end` say what a weight is, as in `models.inspection.joint_weights`.
    """

    networks: Networks
    panels: tuple[Panel, ...]
    clips: int
    part: GraphPart = "whole"
    end: JointEnd = "source"

    @property
    def file(self) -> str:
        return f"figure09_{self.networks.stem}_{self.part}_{self.end}.png"


@dataclass(frozen=True)
class Picture:
    """A figure as a file: its caption, and the keys of the runs that it was drawn from."""

    path: Path
    caption: str
    runs: tuple[str, ...]


def pictures_folder(home: Home) -> Path:
    """Where figures lie. No property of `Home`: that is part of every run's source, whose key would change."""
    return home.local / "figures"


def write_picture(figure: "Figure", picture: Picture) -> None:
    """Draw a figure into its PNG file, whole or not at all."""
    metadata = {_CAPTION: picture.caption, _RUNS: " ".join(picture.runs)}
    with atomic_path(picture.path) as part:
        figure.savefig(part, format="png", dpi=_DOTS_PER_INCH, metadata=metadata)


def pictures(folder: Path) -> list[Picture]:
    """The figures in a folder, by name; files that name no runs, or are no pictures, are left out."""
    found = [_read(path) for path in sorted(folder.glob("*.png"))]
    return [picture for picture in found if picture.runs]


def _read(path: Path) -> Picture:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            said = image.info
    except (UnidentifiedImageError, OSError):
        said = {}
    return Picture(path, str(said.get(_CAPTION, "")), tuple(str(said.get(_RUNS, "")).split()))
