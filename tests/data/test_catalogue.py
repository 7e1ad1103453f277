"""Reading a dataset in, in its own joint layout and in another."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data import catalogue, workplace
from flag3d_ray.data.dataset import open_dataset
from flag3d_ray.data.layout_conversion import convert_sample
from flag3d_ray.data.manifest import check
from flag3d_ray.data.readers.open_format_template import write_template
from flag3d_ray.data.synthetic.variation import DATASETS, RICH
from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    write_template(tmp_path / "copy", "cmu31")
    return tmp_path / "copy"


def test_every_sequence_is_converted_and_keeps_its_annotations(copy: Path, tmp_path: Path) -> None:
    catalogue.read_in("open", copy, tmp_path / "own")
    manifest = catalogue.read_in("open", copy, tmp_path / "other", layout_name="flag3d24")
    assert check(tmp_path / "other", deep=True) == manifest
    for own, other in zip(open_dataset(tmp_path / "own"), open_dataset(tmp_path / "other"), strict=True):
        np.testing.assert_array_equal(other.joints_MTVC, convert_sample(own, FLAG3D24).joints_MTVC)
        assert (other.layout, other.sample_id, other.captions) == ("flag3d24", own.sample_id, own.captions)
        np.testing.assert_array_equal(other.reps_R2, own.reps_R2)


def test_a_converted_dataset_is_another_dataset_and_says_from_what(copy: Path, tmp_path: Path) -> None:
    own = catalogue.read_in("open", copy, tmp_path / "own")
    other = catalogue.read_in("open", copy, tmp_path / "other", layout_name="flag3d24")
    assert own.digest != other.digest
    assert own.generator == {"reader": "open"}
    assert other.generator == {"reader": "open", "converted_from": "cmu31", "converted_to": "flag3d24"}
    assert "Converted from cmu31; interpolated: head_front, head_back, left_collar" in other.card.limits
    assert other.layout == "flag3d24"


def test_an_interrupted_conversion_is_not_gone_on_with_as_another(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = []

    def noted(parameters, module):
        works.append(workplace.work_digest(parameters, module))
        return works[-1]

    monkeypatch.setattr(catalogue, "work_digest", noted)
    for number, layout_name in enumerate(("", "cmu31", "flag3d24", "smpl24")):
        catalogue.read_in("open", copy, tmp_path / str(number), layout_name=layout_name)
    assert works[0] == works[1], "its own layout is no conversion"
    assert len(set(works)) == 3


@pytest.mark.parametrize(("name", "rule"), [("coco17", "need a camera"), ("kinect20", "unknown joint layout")])
def test_a_layout_that_it_cannot_become_is_refused_before_anything_is_read(
    copy: Path, tmp_path: Path, name: str, rule: str
) -> None:
    with pytest.raises(DataError, match=rule):
        catalogue.read_in("open", copy, tmp_path / "data", layout_name=name)
    assert not (tmp_path / "data").exists()


def test_synthetic_mixed_holds_random_motions_beside_all_sequences_of_the_activities() -> None:
    mixed = catalogue.SYNTHETIC["synthetic-mixed"]
    assert (mixed.procedural, mixed.activities, mixed.frames) == (16_384, 3600, 0)
    assert mixed.variation == RICH


def test_datasets_of_random_motions_differ_in_what_was_removed_only() -> None:
    whole = catalogue.SYNTHETIC["procedural"]
    for name, variation in DATASETS.items():
        assert catalogue.SYNTHETIC[name] == replace(whole, variation=variation)
