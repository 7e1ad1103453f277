"""A lease at a URL, where nothing can be locked: generations, each created by one writer only.

`lease.json` of a run stands for the files `lease.1.json`, `lease.2.json`, ...; the highest one counts. To take over what a
dead driver left is to create the next number, which the storage grants to one (`storage.create`); who comes second reads again.
A holder rewrites its own generation alone: to keep it fresh, and in the end to say that it is free. The highest number is never
deleted, so no number is given twice. The age of a heartbeat is a difference of two times that the server wrote.
"""

import json
import secrets
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flag3d_ray import storage
from flag3d_ray.errors import RunError

if TYPE_CHECKING:
    import upath

_CLOCK_SECONDS = 600.0  # the offset between the server's clock and ours is measured again after this time

Content = dict[str, Any]


def current(path: "upath.UPath") -> tuple[int, Content]:
    """The highest generation and what it says; 0 and nothing where there is none. A free one says nothing."""
    for number in reversed(_numbers(path)):
        try:
            content = json.loads(storage.read(_generation(path, number)))
        except FileNotFoundError:  # a newer one came since they were listed, and this one went
            return current(path)
        except ValueError:
            content = {}
        return number, content
    return 0, {}


def take(path: "upath.UPath", after: int, content: Content) -> bool:
    """Create the generation after `after`; False where somebody else did, or is further on already.

    Raises:
        RunError: the storage creates a file twice, so that it cannot say who was first.
    """
    mine = _generation(path, after + 1)
    if not storage.create(mine, _bytes(content)):
        return False
    _require_exclusive(mine, _bytes(content))
    numbers = _numbers(path)
    # Who took a later one deleted the earlier ones, perhaps this very number, which is how we could create it.
    if numbers and numbers[-1] > after + 1:
        storage.remove(path.parent, [mine.name])
        return False
    storage.remove(path.parent, [_generation(path, number).name for number in numbers if number <= after])
    return True


def rewrite(path: "upath.UPath", number: int, content: Content) -> None:
    """Write a generation anew, which makes it fresh; no content says that it is free."""
    storage.write(_generation(path, number), _bytes(content))


def age(path: "upath.UPath", number: int) -> float | None:
    """Seconds since a generation was written, by the server's clock; None where it is gone."""
    try:
        written = _written(_generation(path, number))
    except FileNotFoundError:
        return None
    return time.time() + _server_offset(path.parents[1], int(time.monotonic() / _CLOCK_SECONDS)) - written


@lru_cache(maxsize=8)
def _server_offset(runs: "upath.UPath", _period: int) -> float:
    """Seconds that the server's clock is ahead of ours, found by writing a file and reading its time; right to a second."""
    probe = runs / ".clock" / secrets.token_hex(8)
    before = time.time()
    storage.write(probe, b"")
    offset = _written(probe) - (before + time.time()) / 2
    storage.remove(probe.parent, [probe.name])
    return offset


def _written(path: "upath.UPath") -> float:
    with storage.trouble_is_named(path):
        return path.fs.modified(path.path).timestamp()


_exclusive: set[str] = set()


def _require_exclusive(path: "upath.UPath", data: bytes) -> None:
    """See once per process and bucket that what exists cannot be created: some servers ignore the condition."""
    place = f"{path.protocol}://{path.path.strip('/').split('/')[0]}"
    if place in _exclusive:
        return
    if storage.create(path, data):
        rule = "it creates a file that exists, so two drivers could lead one run"
        raise RunError(
            where=place, rule=rule, remedy="use a storage with exclusive creation (S3 If-None-Match), or NFS"
        )
    _exclusive.add(place)


def _numbers(path: "upath.UPath") -> list[int]:
    parts = [name.split(".") for name in storage.names(path.parent) if name.startswith(f"{path.stem}.")]
    return sorted(int(part[1]) for part in parts if len(part) == 3 and part[1].isdecimal())


def _generation(path: "upath.UPath", number: int) -> "upath.UPath":
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def _bytes(content: Content) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
