import numpy as np
from matplotlib.image import imread

from flag3d_ray.data.synthetic.gallery import filmstrip, gallery
from flag3d_ray.data.synthetic.motion import ACTIVITIES


def test_the_gallery_draws_left_limbs_blue_and_right_limbs_red(tmp_path):
    path = gallery(tmp_path / "gallery.png", ACTIVITIES[:3], columns=2)
    pixels = imread(path)[..., :3]
    for colour in ((31, 119, 180), (214, 39, 40)):
        assert (np.abs(pixels - np.array(colour) / 255).max(axis=-1) < 0.05).sum() > 100


def test_a_filmstrip_shows_the_start_pose_first_and_the_end_pose_in_the_middle():
    frames_FV3 = filmstrip(ACTIVITIES[5])
    assert frames_FV3.shape == (6, 24, 3)
    change_F = np.linalg.norm(frames_FV3 - frames_FV3[0], axis=-1).max(axis=1)
    assert change_F.argmax() == 3
