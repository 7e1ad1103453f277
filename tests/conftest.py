"""Shapes are checked while tests run: jaxtyping annotations are enforced by beartype, which production leaves out."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("flag3d_ray", "beartype.beartype")
