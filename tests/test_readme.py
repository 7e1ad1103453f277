"""What the README tells people to type exists, and what it links to is there."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
LINK = re.compile(r"\]\(([^)#\s]+)")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: str, program: str) -> list[str]:
    """The lines of a page's code blocks that start with a program, without their comments."""
    blocks = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.split(" ")[0] == program]


def test_the_readme_shows_the_verbs_that_people_start_with() -> None:
    verbs = {line.split()[1] for line in commands("README.md", "flag3d")}
    assert verbs >= {"doctor", "demo", "table", "train", "sweep", "ui", "data"}


@pytest.mark.parametrize("line", commands("README.md", "flag3d"))
def test_a_command_of_the_readme_has_verbs_and_options_that_exist(line: str) -> None:
    cli = pytest.importorskip("flag3d_ray.cli")
    from typer.testing import CliRunner

    # `--help` is answered after all options have been parsed and before anything runs.
    result = CliRunner().invoke(cli.app, [*shlex.split(line)[1:], "--help"])
    assert result.exit_code == 0, result.output


def test_the_readme_lists_every_reader() -> None:
    catalogue = pytest.importorskip("flag3d_ray.data.catalogue")
    listed = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for cell in listed for name in re.findall(r"`(\w+)`", cell)}
    assert named >= {*catalogue.READERS, *catalogue.OF_FOLDER}


def test_the_page_on_data_has_a_card_for_every_reader_and_the_thresholds_of_the_checks() -> None:
    from flag3d_ray.data import findings
    from flag3d_ray.data.doctor import copies, ingested, joints, labels, partitions
    from flag3d_ray.data.readers import ui_prmd

    page = " ".join((ROOT / "docs" / "data.md").read_text(encoding="utf-8").split())
    for name in ("FLAG3D++", "UI-PRMD", "RepCountA", "CMU, exercises", "CMU, actions", "NTU RGB+D 60", "FineGym-99"):
        assert f"## Data card: {name}" in page
    assert f"the table shows the first {findings.LISTED}" in page
    assert f"beyond {ui_prmd.LONG_GAP} frames" in page
    assert f"larger than {ingested.MOST_JSON_BYTES >> 20} MiB" in page
    assert f"of less than {labels.SHORTEST} frames" in page
    assert f"of less than {labels.SECONDS[0]:g} s or more than {labels.SECONDS[1]:g} s in the median" in page
    assert f"less than {joints.FPS[0]:g} or more than {joints.FPS[1]:g} frames per second" in page
    assert f"more than {joints.REPEATED_SHARE:.0%} of the frames repeat".replace("%", " %") in page
    assert f"stretches by {100 * joints.STRETCH:g} cm" in page
    assert f"above {joints.SPEED:g} m/s in the median" in page
    assert f"above {joints.JUMP:g} m/s from frame to frame" in page
    assert f"({copies.SHORTEST} in a row are found for certain" in page
    assert partitions.MANY == 20, "more than twenty sequences, says the page"


def test_the_page_on_data_has_the_lengths_of_the_lexicons_texts() -> None:
    from flag3d_ray.data import lexicon

    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    for ids in (lexicon.activity_ids(), lexicon.ui_prmd_ids(), lexicon.repcount_ids(), lexicon.cmu_exercise_ids()):
        words = [[len(text.split()) for text in lexicon.captions(action_id)] for action_id in ids]
        means = ", ".join(f"{sum(level) / len(ids):.1f}" for level in zip(*words, strict=True))
        assert f"| `{ids[0]}` to `{ids[-1]}` | {means} |" in page


def test_an_option_that_does_not_exist_would_be_found() -> None:
    cli = pytest.importorskip("flag3d_ray.cli")
    from typer.testing import CliRunner

    assert CliRunner().invoke(cli.app, ["table", "3", "--pre-set", "tiny", "--help"]).exit_code == 2


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_target_of_make_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in commands(page, "make"):
        assert re.search(rf"^{re.escape(line.split()[1])}:", makefile, re.MULTILINE), line


@pytest.mark.parametrize("page", PAGES)
def test_a_link_to_a_file_leads_somewhere(page: str) -> None:
    targets = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not ((ROOT / page).parent / target).exists()]
    assert missing == []


def test_the_changelog_opens_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (newest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest == version
