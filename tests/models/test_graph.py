import numpy as np
import pytest

from flag3d_ray.errors import DataError
from flag3d_ray.models.graph import adjacency
from flag3d_ray.skeleton import FLAG3D24, LAYOUTS, NTU25


def test_released_subsets_sum_to_24_20_and_21():
    np.testing.assert_allclose(adjacency(FLAG3D24, "released").sum(axis=(1, 2)), [24, 20, 21], atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_an_inward_tree_has_one_edge_per_joint_but_the_root(layout):
    parents = {parent for _, parent in layout.edges}
    expected = [len(layout), len(layout) - 1, len(parents)]
    np.testing.assert_allclose(adjacency(layout).sum(axis=(1, 2)), expected, atol=1e-5)


@pytest.mark.parametrize("orientation", ["inward", "released"])
def test_every_column_sums_to_one_or_to_zero(orientation):
    received = adjacency(FLAG3D24, orientation).sum(axis=1)
    np.testing.assert_allclose(received, np.round(received), atol=1e-6)
    assert set(np.round(received).ravel()) == {0.0, 1.0}


def test_the_second_subset_carries_a_parent_to_its_child_and_the_third_the_mean_of_the_children_to_their_parent():
    _, inward, outward = adjacency(FLAG3D24)
    position = np.arange(24.0)
    knee, hip = FLAG3D24.index("left_knee"), FLAG3D24.index("left_hip")
    children = [child for child, parent in FLAG3D24.edges if parent == 0]
    assert (position @ inward)[knee] == hip
    assert (position @ outward)[0] == pytest.approx(np.mean(children))


def test_the_released_edges_exist_for_one_layout_only():
    with pytest.raises(DataError, match="flag3d24"):
        adjacency(NTU25, "released")
