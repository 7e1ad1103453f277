"""Declarations only: what is asked, never how it runs. A file loads in well under a second, without Ray or torch.

Tables are found by their file's name: `table03_counting` is `flag3d table 3`, `table_transfer` is `flag3d table transfer`.
"""

SWEEPS = {
    "hlrac": "experiments.search_hlrac",
}
