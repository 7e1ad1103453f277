"""Figures as artifacts of the runs that they were drawn from."""

from functools import partial
from pathlib import Path

from flag3d_ray.errors import RunError
from flag3d_ray.figures import pictures
from flag3d_ray.tracking.connect import Place, connect, find_experiment, without_password
from flag3d_ray.tracking.remote import RemoteRun
from flag3d_ray.tracking.view import EXPERIMENT


def log_figures(folder: Path, place: Place, experiment: str = EXPERIMENT) -> None:
    """Give every run that MLflow holds the pictures of the folder that were drawn from it; may be repeated.

    Raises:
        RunError: MLflow does not answer.
    """
    known = pictures(folder)
    if not known:
        return
    try:
        client = connect(place)
        id = find_experiment(client, place, experiment)
        for picture in known:
            content = picture.path.read_bytes()
            for key in picture.runs:
                for run in client.search_runs([id], f"tags.`flag3d.key` = '{key}'"):
                    remote = RemoteRun.found(client, run)
                    log = partial(remote.put, picture.path, "figures")
                    remote.once(f"figure.{picture.path.stem}", content, log)
    except Exception as error:
        remedy = "start the server or check MLFLOW_TRACKING_URI, then type flag3d track --fill"
        where, rule = (without_password(text) for text in (f"MLflow at {place.uri}", " ".join(str(error).split())))
        raise RunError(where=where, rule=rule, remedy=remedy) from error
