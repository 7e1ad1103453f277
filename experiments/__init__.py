"""Declarations only: what is asked, never how it runs. A file loads in well under a second, without Ray or torch."""

TABLES = {
    3: "experiments.table03_counting",
    4: "experiments.table04_ablations",
    6: "experiments.table06_captions",
}
SWEEPS = {
    "hlrac": "experiments.search_hlrac",
}
