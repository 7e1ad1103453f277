"""Places of the body: which joint is where, and what lies between."""

import pytest

from flag3d_ray.data.body_places import MIDLINE, RENAMED, RULES, SIDED, known_places, places
from flag3d_ray.skeleton import CMU31, CMU38, FLAG3D24, LAYOUTS, NTU25, SMPL24, UI_PRMD39, Layout, layout

IN_SPACE = (FLAG3D24, SMPL24, NTU25, CMU31, CMU38)


@pytest.mark.parametrize("name", RENAMED)
def test_every_joint_has_a_place_and_every_renamed_joint_exists(name: str) -> None:
    skeleton = layout(name)
    assert list(places(skeleton)) == list(skeleton.joints)
    parts = {joint.removeprefix("left_").removeprefix("right_") for joint in skeleton.joints}
    assert set(RENAMED[name]) <= parts
    assert set(RENAMED[name].values()) <= {*MIDLINE, *SIDED}


def test_markers_on_the_skin_have_no_place_in_the_body() -> None:
    assert places(UI_PRMD39) == {}
    assert known_places(UI_PRMD39) == {}
    assert {known.name for known in LAYOUTS} - set(RENAMED) == {"ui_prmd39"}


@pytest.mark.parametrize(("place", "parts"), RULES, ids=lambda value: value if isinstance(value, str) else "")
def test_the_weights_of_a_rule_sum_to_one_and_name_places(place: str, parts: dict[str, float]) -> None:
    assert sum(parts.values()) == pytest.approx(1, abs=1e-15)
    assert {place, *parts} <= {*MIDLINE, *SIDED}
    assert place not in parts
    assert place in SIDED or not set(parts) & set(SIDED), "the midline does not lie to one side"


@pytest.mark.parametrize("skeleton", IN_SPACE, ids=lambda skeleton: skeleton.name)
def test_layouts_in_space_know_every_place_but_those_of_the_face(skeleton: Layout) -> None:
    known = known_places(skeleton)
    wanted = {*MIDLINE, *(f"{side}_{part}" for part in SIDED for side in ("left", "right"))}
    assert wanted - set(known) == {"nose", "left_eye", "right_eye", "left_ear", "right_ear"}
    for place, weights in known.items():
        assert sum(weights.values()) == pytest.approx(1, abs=1e-12), place
        assert set(weights) <= set(skeleton.joints)


def test_a_place_with_a_joint_is_that_joint_and_the_first_fitting_rule_gives_the_others() -> None:
    known = known_places(SMPL24)
    assert known["skull_base"] == {"head": 1.0}
    assert known["head"] == {"head": 2.0, "neck": -1.0}
    assert known["chest"] == {"spine3": 0.6, "neck": 0.4}
    assert known["left_palm"] == {"left_wrist": 0.5, "left_hand": 0.5}
    assert known_places(NTU25)["chest"] == {"spine_mid": 0.5, "spine_shoulder": 0.5}


def test_rules_build_on_places_that_rules_gave() -> None:
    fingertip = known_places(FLAG3D24)["right_fingertip"]
    assert fingertip == pytest.approx({"right_wrist": 1.6, "right_elbow": -0.6})


def test_cmus_wrist_is_where_its_bone_lwrist_ends() -> None:
    assert (places(CMU31)["left_hand"], places(CMU31)["left_wrist"]) == ("left_wrist", "left_forearm")
    assert places(CMU38)["left_wrist"] == places(CMU38)["left_hand"] == "left_wrist"
