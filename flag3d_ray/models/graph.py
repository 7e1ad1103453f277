"""The skeleton graph as three normalised subsets: itself, toward the root, away from it (ST-GCN, Yan et al. 2018).

Rows are source joints and columns receiving joints: features are multiplied from the left, `y_w = sum_v x_v A[v, w]`.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32

from flag3d_ray.errors import DataError
from flag3d_ray.skeleton import FLAG3D24, Layout

Orientation = Literal["inward", "released"]

# The released edge list in its own 1-based numbering. Half of the body points away from the root, so mirrored limbs
# start in different subsets; as the adjacency is learnable this touches initialisation only.
_RELEASED_EDGES = (
    *((7, 6), (6, 5), (15, 13), (13, 11), (11, 9), (9, 5), (5, 4), (4, 3), (3, 2), (2, 1), (17, 1)),
    *(
        (6, 8),
        (5, 10),
        (10, 12),
        (12, 14),
        (14, 16),
        (1, 18),
        (18, 20),
        (20, 22),
        (22, 24),
        (17, 19),
        (19, 21),
        (21, 23),
    ),
)


def adjacency(layout: Layout, orientation: Orientation = "inward") -> Float32[np.ndarray, "3 V V"]:
    """The self, inward and outward subsets, every column summing to 1, or to 0 where a joint receives nothing (Eq. 4).

    Args:
        layout: joints and tree.
        orientation: `inward` points every edge from child to parent, so the second subset is centripetal and the third
            centrifugal. `released` takes the directions of the authors' edge list, which exist for flag3d24 only.

    Raises:
        DataError: `released` with another layout.
    """
    edges = layout.edges
    if orientation == "released":
        if layout != FLAG3D24:
            raise DataError(
                where=f"layout {layout.name!r}",
                rule="the released edge list numbers the joints of flag3d24",
                remedy="use the inward orientation",
            )
        edges = tuple((source - 1, target - 1) for source, target in _RELEASED_EDGES)
    subsets_3VV = np.zeros((3, len(layout), len(layout)), np.float32)
    subsets_3VV[0] = np.eye(len(layout))
    for source, target in edges:
        subsets_3VV[1, target, source] = 1.0
        subsets_3VV[2, source, target] = 1.0
    received_3V = subsets_3VV.sum(axis=1, keepdims=True)
    return subsets_3VV / np.maximum(received_3V, 1.0)
