"""`flag3d data layouts` and `flag3d data ingest --layout`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flag3d_ray.commands.data_layouts import conversion_table, table_of
from flag3d_ray.data.readers.open_format_template import write_template
from flag3d_ray.skeleton import CMU31, FLAG3D24, LAYOUTS
from flag3d_ray.viz import skeleton_plot


def test_every_layout_is_listed_with_what_it_becomes() -> None:
    columns = {str(column.header): list(column.cells) for column in table_of().columns}
    assert columns["layout"] == [layout.name for layout in LAYOUTS]
    assert columns["joints"] == [str(len(layout)) for layout in LAYOUTS]
    becomes = dict(zip(columns["layout"], columns["becomes"], strict=True))
    assert becomes["cmu31"] == "flag3d24, smpl24, ntu25, cmu38"
    assert (becomes["coco17"], becomes["coco17_scored"]) == ("-", "coco17")


def test_every_joint_of_the_target_is_listed_with_its_origin() -> None:
    columns = {str(column.header): list(column.cells) for column in conversion_table(CMU31, FLAG3D24).columns}
    rows = list(zip(columns["flag3d24"], columns["how"], columns["from cmu31"], strict=True))
    assert [name for name, _, _ in rows] == list(FLAG3D24.joints)
    assert ("left_wrist", "copied", "left_hand") in rows
    assert ("left_collar", "interpolated", "0.67 neck + 0.33 left_shoulder") in rows


def test_the_command_prints_them(flag3d: Callable[..., Any]) -> None:
    assert "ui_prmd39" in flag3d("data", "layouts").out
    said = flag3d("data", "layouts", "--from", "ui_prmd39", "--to", "smpl24")
    assert "from flag3d24" in said.out
    assert "constructed: markers become the joints of flag3d24" in said.out


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (("--from", "cmu31"), "half of a conversion"),
        (("--from", "coco17", "--to", "flag3d24"), "a picture has no depth"),
        (("--from", "kinect20", "--to", "flag3d24"), "unknown joint layout"),
    ],
)
def test_what_cannot_be_is_said(flag3d: Callable[..., Any], words: tuple[str, ...], rule: str) -> None:
    said = flag3d("data", "layouts", *words)
    assert said.code == 2
    assert rule in said.err


def test_the_picture_of_all_layouts_is_written_where_it_is_wanted(
    flag3d: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skeleton_plot, "layouts_plot", lambda path: path.write_bytes(b"picture"))
    said = flag3d("data", "layouts", "--png", tmp_path / "layouts.png")
    assert f"written: {tmp_path / 'layouts.png'}" in said.out
    assert (tmp_path / "layouts.png").read_bytes() == b"picture"


def test_a_copy_is_ingested_in_another_layout(flag3d: Callable[..., Any], tmp_path: Path) -> None:
    write_template(tmp_path / "copy", "cmu38")
    words = ("--layout", "ntu25", "--name", "mine", "--home", tmp_path / "home")
    assert flag3d("data", "ingest", "open", tmp_path / "copy", *words).code == 0
    assert '"layout": "ntu25"' in (tmp_path / "home" / "data" / "mine" / "manifest.json").read_text(encoding="utf-8")
