"""Table 2: how long sequences are and how often their movement repeats, in four datasets and in those at hand.

Paper: FLAG3D++, Section 3, Table 2.
Command: flag3d table 2
Expected time: seconds; nothing is trained.
Expected output: every dataset of the home beside the printed rows. The synthetic one is drawn by quantiles, so that its
means and deviations are within 5 % of the row FLAG3D++.
"""

from flag3d_ray.paper import PublishedRow, published

NUMBER = 2
# The printed row that a dataset of the home is measured beside. Synthetic ones are made to resemble FLAG3D++.
PRINTED_BESIDE = {
    "flag3d": "flag3d++",
    "repcount_a": "repcount_a",
    "synthetic": "flag3d++",
    "synthetic-demo": "flag3d++",
}


def printed_rows() -> tuple[PublishedRow, ...]:
    """The paper's rows, in its order."""
    return published(NUMBER).rows


def printed_beside(dataset: str) -> PublishedRow | None:
    """The printed row for a dataset of the home, None where the paper has none."""
    arm = PRINTED_BESIDE.get(dataset)
    return None if arm is None else published(NUMBER).row(dataset=arm)
