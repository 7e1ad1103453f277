"""The multipath module against its convolutions as plain loops."""

import pytest
import torch

from flag3d_ray.models.multipath import MultiPath

CHANNELS, JOINTS, FRAMES = 3, 4, 12
WIDTHS = (2, 3, 2)


def module(shared_stem: bool) -> MultiPath:
    torch.manual_seed(0)
    return MultiPath(CHANNELS, JOINTS, WIDTHS, shared_stem=shared_stem).double().eval()


def looped(image_TVC: torch.Tensor, weight_DCKL: torch.Tensor, dilation: int) -> torch.Tensor:
    """Frames t + dilation (k - middle) and joints v + side - 1, zero outside the clip and the skeleton."""
    frames, joints, _ = image_TVC.shape
    reach = weight_DCKL.shape[2] // 2
    result_TVD = torch.zeros(frames, joints, len(weight_DCKL), dtype=image_TVC.dtype)
    for t in range(frames):
        for v in range(joints):
            for k in range(2 * reach + 1):
                for side in range(3):
                    frame, joint = t + dilation * (k - reach), v + side - 1
                    if 0 <= frame < frames and 0 <= joint < joints:
                        result_TVD[t, v] += weight_DCKL[:, :, k, side] @ image_TVC[frame, joint]
    return result_TVD


def pointwise(image_TVC: torch.Tensor, layer: torch.nn.Conv2d) -> torch.Tensor:
    result_TVD = image_TVC @ layer.weight[:, :, 0, 0].T
    return result_TVD if layer.bias is None else result_TVD + layer.bias


@pytest.mark.parametrize("shared_stem", [False, True])
def test_the_features_are_the_largest_of_three_convolutions_side_by_side_as_plain_loops(shared_stem):
    paths = module(shared_stem)
    features = torch.randn(2, FRAMES, CHANNELS * JOINTS, generator=torch.Generator().manual_seed(1)).double()
    expected = []
    for clip in features:
        image_TVC = torch.stack([clip[:, v::JOINTS] for v in range(JOINTS)], dim=1)  # channel-major features
        first = pointwise(image_TVC, paths.point)
        stem = first if paths.narrow_stem is None else pointwise(image_TVC, paths.narrow_stem)
        second = looped(pointwise(image_TVC, paths.wide_stem), paths.wide.weight, dilation=5)
        third = looped(stem, paths.narrow.weight, dilation=3)
        normal = torch.cat([first, second, third], dim=-1) / (1 + paths.norm.eps) ** 0.5  # fresh running statistics
        expected.append(normal.clamp_min(0).amax(dim=1))

    torch.testing.assert_close(paths(features), torch.stack(expected))


def test_the_shared_stem_is_one_layer_less_and_hears_from_both_paths():
    shared, separate = module(True), module(False)
    count = [sum(parameter.numel() for parameter in one.parameters()) for one in (separate, shared)]
    assert count[0] - count[1] == CHANNELS * WIDTHS[0]

    features = torch.randn(1, FRAMES, CHANNELS * JOINTS, generator=torch.Generator().manual_seed(1)).double()
    third = slice(sum(WIDTHS[:2]), None)
    for paths, silent in ((shared, True), (separate, False)):
        for parameter in paths.point.parameters():
            torch.nn.init.zeros_(parameter)
        assert (paths(features)[..., third].abs().max() == 0) == silent
