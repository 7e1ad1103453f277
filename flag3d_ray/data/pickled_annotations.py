"""Pickles of pose annotations as a stream of plain arrays, read by a child process that cannot be made to run anything.

    {"split": {name: [frame_dir, ...]}, "annotations": [{"frame_dir", "label", "img_shape", "total_frames",
     "keypoint" [M, T, V, C], "keypoint_score" [M, T, V]}, ...]}          or the list of annotations alone

This is how pyskl and mmaction2 release skeletons. The child is `restricted_pickle.py`, under limits on memory and time
where the platform has them; this process sees JSON and bytes.
"""

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Float

from flag3d_ray.data import restricted_pickle
from flag3d_ray.errors import DataError

_ARCHIVES = {b"PK": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z"}
_ENDED = {-9: "it was killed: not enough memory?", -24: "it took more processor time than a file of its size should"}
_GIB = 1 << 30


@dataclass(frozen=True, eq=False, kw_only=True)
class Annotation:
    """One entry: its name, its class counted from 0, joints, their scores, image size, and what it says of its length."""

    frame_dir: str
    label: int
    keypoint_MTVC: Float[np.ndarray, "M T V C"]
    score_MTV: Float[np.ndarray, "M T V"] | None
    image_hw: tuple[int, int] | None
    total_frames: int | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Contents:
    """What a pickle holds: the names of its annotations, its splits as they are named there, the annotations in order."""

    names: Sequence[str]
    splits: Mapping[str, Sequence[str]]
    annotations: Iterator[Annotation]


@contextlib.contextmanager
def open_pickle(source: Path, progress: Callable[[int, int], None] | None = None) -> Iterator[Contents]:
    """Read a pickle; its annotations stream while the block lasts.

    Args:
        progress: called with (bytes read, bytes of the file).

    Raises:
        DataError: no such file, an archive, no pickle of annotations, one that asks for anything but plain data (named),
            damaged, or too much memory or time for its size.
    """
    size = _size(source)
    memory, seconds, most = _GIB + 8 * size, 60 + size // (4 << 20), 4 * size + (1 << 20)
    script = [sys.executable, "-I", "-B", restricted_pickle.__file__]
    with (
        source.open("rb") as file,
        subprocess.Popen(
            [*script, str(memory), str(seconds), str(most)],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child,
    ):
        assert child.stdout is not None
        try:
            messages = _messages(source, child)
            for message in messages:
                if "names" in message:
                    annotations = (_annotation(source, each, child.stdout) for each in messages)
                    yield Contents(names=message["names"], splits=message["splits"], annotations=annotations)
                    break
                if progress is not None:
                    progress(min(message.get("read", 0), size), size)
        finally:
            child.kill()


def broken(source: Path, rule: str) -> DataError:
    """The error about a pickle."""
    remedy = "take the file from where the dataset is released; nothing of it was run, and nothing was written"
    return DataError(where=str(source), rule=rule, remedy=remedy)


def _size(source: Path) -> int:
    if not source.is_file():
        raise broken(source, "not a file" if source.exists() else "no such file")
    with source.open("rb") as file:
        start = file.read(6)
    for magic, kind in _ARCHIVES.items():
        if start.startswith(magic):
            remedy = "unpack it yourself and name the pickle inside; checkpoints (.pt, .pth) hold no annotations"
            raise DataError(where=str(source), rule=f"a {kind} archive, which is not unpacked here", remedy=remedy)
    return source.stat().st_size


def _messages(source: Path, child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """The child's lines up to its last one; whoever takes one that announces arrays reads these before the next."""
    assert child.stdout is not None
    assert child.stderr is not None
    for line in child.stdout:
        if not line.endswith(b"\n"):
            break
        message = json.loads(line)
        if "refused" in message:
            raise broken(source, message["refused"])
        if "end" in message:
            return
        yield message
    code = child.wait()
    said = child.stderr.read()[-300:].decode(errors="replace").strip().splitlines()
    raise broken(source, _ENDED.get(code) or f"its reader ended ({code}){': ' + said[-1] if said else ''}")


def _annotation(source: Path, message: Mapping[str, Any], stream: IO[bytes]) -> Annotation:
    where = f"annotation {message['row']} ({message['frame_dir']})"
    arrays = {key: _array(source, where, described, stream) for key, described in message["arrays"].items()}
    keypoint, score = arrays["keypoint"], arrays.get("keypoint_score")
    if keypoint.ndim == 3:
        keypoint, score = keypoint[None], None if score is None else score[None]
    if keypoint.ndim != 4 or 0 in keypoint.shape:
        raise broken(source, f"{where}: keypoint must be [M, T, V, C], found {list(keypoint.shape)}")
    if score is not None and score.shape != keypoint.shape[:3]:
        raise broken(source, f"{where}: keypoint_score {list(score.shape)} for keypoint {list(keypoint.shape)}")
    return Annotation(
        frame_dir=message["frame_dir"],
        label=message["label"],
        keypoint_MTVC=keypoint,
        score_MTV=score,
        image_hw=tuple(message["image_hw"]) if message["image_hw"] else None,
        total_frames=message["total_frames"],
    )


def _array(source: Path, where: str, described: Sequence[Any], stream: IO[bytes]) -> np.ndarray:
    """A floating-point array of this machine's byte order; whole numbers become float32."""
    code, shape, fortran, size = described
    data, dtype = stream.read(size), np.dtype(code)
    if len(data) != size or math.prod(shape) * dtype.itemsize != size:
        raise broken(source, f"{where}: an array of {size} bytes ended after {len(data)}")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return np.ascontiguousarray(array, dtype.newbyteorder("=") if dtype.kind == "f" else np.float32)
