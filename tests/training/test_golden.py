"""Fifty losses of one tiny run in float64, compared with those on file.

A difference means that the numbers of every learned method have changed: the data path, the network, the loop or the
optimiser. If that was meant, renew the file with

    FLAG3D_RENEW_GOLDEN=1 python -m pytest tests/training/test_golden.py

and write in the commit what changed the numbers, and why the new ones are right.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from flag3d_ray.home import Home
from flag3d_ray.identity import run_key
from flag3d_ray.training.fit import fit

LOSSES = Path(__file__).parents[1] / "golden" / "losses.json"


@pytest.mark.slow
def test_fifty_losses_of_a_tiny_run_are_those_on_file(fresh_home, tiny_run):
    """One step an epoch, with dropout, turns and noise, so that every random number stands in the losses."""
    home: Home = fresh_home()
    run = tiny_run(epochs=50, batch=6, max_clips_per_epoch=6, max_validation_clips=1, precision="float64")
    run = replace(
        run, method=replace(run.method, dropout=(0.2, 0.1, 0.3)), data=replace(run.data, turn=1.0, noise=0.01)
    )
    folder = home.store.folder(run_key(run, home))

    fit(run, home, folder, lambda event: None)

    losses = [event["loss"] for event in folder.events()]
    if os.environ.get("FLAG3D_RENEW_GOLDEN"):
        LOSSES.write_text(json.dumps(losses, indent=1) + "\n", encoding="utf-8")
    assert losses == pytest.approx(json.loads(LOSSES.read_text(encoding="utf-8")), rel=1e-6)
