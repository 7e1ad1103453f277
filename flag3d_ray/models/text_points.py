"""Text points: a sentence or its tokens as one weight per joint (Eq. 9)."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from flag3d_ray.models.fusion import start_at_zero


class TextPoints(nn.Module):
    """`t = norm(psi theta_1) theta_2`: width D to D / 2, layer normalisation, to one unbounded value per joint.

    One projector serves the whole network: the same points enter every block and all three subsets.
    """

    def __init__(self, text_width: int, joints: int) -> None:
        super().__init__()
        hidden = max(1, text_width // 2)
        self.theta1 = nn.Linear(text_width, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.theta2 = nn.Linear(hidden, joints)

    def forward(self, text_BLD: Float[Tensor, "*B D"]) -> Float[Tensor, "*B V"]:
        """The text points of each embedding."""
        return self.theta2(self.norm(self.theta1(text_BLD)))

    def start_at_zero(self) -> None:
        """Every text point is zero until `theta2` learns."""
        start_at_zero(self.theta2)


def pool_tokens(text_BLD: Float[Tensor, "B L D"], valid_BL: Bool[Tensor, "B L"]) -> Float[Tensor, "B 1 D"]:
    """Mean over the valid tokens, kept as a sequence of one; zero where no token is valid."""
    if text_BLD.shape[1] == 1:
        return text_BLD
    weight_BL1 = valid_BL.to(text_BLD.dtype)[..., None]
    return (text_BLD * weight_BL1).sum(dim=1, keepdim=True) / weight_BL1.sum(dim=1, keepdim=True).clamp_min(1.0)
