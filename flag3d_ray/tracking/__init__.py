"""MLflow as a view of the store: written by one thread of the driver, idempotent, and rebuilt from nothing when lost.

The store is the truth. What was written is remembered by tags, by MLflow's primary keys (an identical row of a curve is
stored once) and by what MLflow holds, so that every write may be repeated. If MLflow is away, training goes on and the
newest state is written later. Only this package imports MLflow, when it first writes: importing it stays cheap.
"""

from flag3d_ray.tracking.connect import Place, without_password
from flag3d_ray.tracking.content import remembered_groups
from flag3d_ray.tracking.figures import log_figures
from flag3d_ray.tracking.view import EXPERIMENT, MlflowView, fill_view

__all__ = ["EXPERIMENT", "MlflowView", "Place", "fill_view", "log_figures", "remembered_groups", "without_password"]
