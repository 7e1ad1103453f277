"""Work is known again by what it is made from and by the source that makes it."""

from pathlib import Path

import pytest

from flag3d_ray.data.workplace import check_dataset_name, tree_state, work_digest
from flag3d_ray.errors import DataError

MODULE = "flag3d_ray.data.synthetic.generate"


def test_other_parameters_and_another_maker_are_other_work():
    same = work_digest({"seed": 0}, MODULE)
    assert work_digest({"seed": 0}, MODULE) == same
    assert work_digest({"seed": 1}, MODULE) != same
    assert work_digest({"seed": 0}, "flag3d_ray.data.readers.ui_prmd") != same


def test_a_mended_an_added_and_a_renamed_file_change_the_state_of_a_folder(tmp_path: Path):
    (tmp_path / "a").write_text("one")
    states = [tree_state(tmp_path)]
    (tmp_path / "a").write_text("three")
    states.append(tree_state(tmp_path))
    (tmp_path / "b").write_text("")
    states.append(tree_state(tmp_path))
    (tmp_path / "b").rename(tmp_path / "c")
    states.append(tree_state(tmp_path))
    assert len(set(states)) == 4
    assert tree_state(tmp_path) == states[-1]


@pytest.mark.parametrize("name", ["ui_prmd", "synthetic-demo", "2026.1", "A"])
def test_plain_names_are_taken(name: str):
    assert check_dataset_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "x" * 101, "a\n"])
def test_names_that_lead_elsewhere_are_not(name: str):
    with pytest.raises(DataError, match="not a name"):
        check_dataset_name(name)
