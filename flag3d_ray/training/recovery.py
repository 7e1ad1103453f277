"""What an earlier launch left of a run, looked at before the run goes on: damage costs time, and never a wrong number."""

from pathlib import Path

from flag3d_ray.store import RunFolder
from flag3d_ray.training.checkpoint import Damaged, load_tensors


def drop_damaged(folder: RunFolder) -> str:
    """Delete what a run that has not finished cannot go on from, so that it starts from its beginning; returns why.

    That is a checkpoint that cannot be read; one that leads on from best weights that are lost; and one that is ahead of the
    log, whose missing epochs nobody could tell any more. Empty where all is well or nothing is there. What a killed
    process left half-written is deleted too, and the last checkpoint of a run that is trained. The caller leads the run.

    Raises:
        RunError: a checkpoint cannot be read, which says nothing about it: nothing is deleted.
    """
    for part in folder.path.rglob(".*.part") if isinstance(folder.path, Path) else ():
        part.unlink(missing_ok=True)
    last, model = folder.last_checkpoint, folder.model
    if folder.status == "fitted":
        last.unlink(missing_ok=True)
    reason = ""
    if last.exists():
        reason = _why_not(folder)
        if reason:
            last.unlink()
    elif model.exists() and (reason := _unreadable(folder, model.name)):
        model.unlink()
    return f"{reason}; started from its beginning" if reason else ""


def _why_not(folder: RunFolder) -> str:
    if unreadable := _unreadable(folder, folder.last_checkpoint.name):
        return unreadable
    facts = load_tensors(folder.last_checkpoint)[1]
    if unreadable := _unreadable(folder, folder.model.name):
        return unreadable
    logged = {event["epoch"] for event in folder.events() if "epoch" in event}
    missing = sorted(set(range(facts["epoch"])) - logged)
    return f"{folder.events_path.name} lacks epoch {missing[0]}, which its checkpoint has" if missing else ""


def _unreadable(folder: RunFolder, name: str) -> str:
    path = folder.model.with_name(name)
    try:
        load_tensors(path)
    except Damaged:
        return f"{name} was {'damaged' if path.exists() else 'gone'}"
    return ""
