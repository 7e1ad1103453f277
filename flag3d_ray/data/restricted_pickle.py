"""Reads one pickle of pose annotations in a process of its own, without letting it name or call anything.

A pickle is a program. This one is run by Python's unpickler with a dictionary in place of the import system: the names
by which numpy writes arrays (of numpy 1 and 2, protocols 0 to 5) lead to stand-ins of this file, which keep a type, a
shape and bytes; a few containers are themselves; any other name ends the process. No function of numpy or of a module
outside this file can be reached, whatever the pickle pushes, and numpy is not even imported here.

`convert.py` starts this file by its path with `python -I`, the pickle as standard input and limits as arguments. It
imports the standard library only. What it found goes to standard output, as lines of JSON and raw bytes of arrays:

    {"read": BYTES}                     while reading
    {"names": [FRAME_DIR, ...], "splits": {NAME: [FRAME_DIR, ...]}}
    {"row": 0, "frame_dir": ..., "label": ..., "total_frames": ..., "image_hw": ..., "arrays": {NAME: [DTYPE, SHAPE,
        FORTRAN, BYTES]}}               once per name, each followed by the bytes of its arrays in that order
    {"end": true}

or, at any place, {"refused": WHY}.
"""

import contextlib
import io
import json
import math
import os
import pickle
import re
import struct
import sys
from typing import Any

_DTYPE = re.compile(r"([<>|=]?)([biufUS])([1-9][0-9]{0,5})")
_STRUCT = {
    **{("b", 1): "?", ("f", 2): "e", ("f", 4): "f", ("f", 8): "d"},
    **{("i", 1): "b", ("i", 2): "h", ("i", 4): "i", ("i", 8): "q"},
    **{("u", 1): "B", ("u", 2): "H", ("u", 4): "I", ("u", 8): "Q"},
}
_ARRAYS = ("keypoint", "keypoint_score")
_PROGRESS_BYTES = 1 << 20
_HUGE = 1 << 40
"""Whole numbers beyond it are no sizes, labels or shapes, and printing those of many digits is an error in Python."""


class Refused(Exception):
    """What the pickle asked for and does not get, or why it is no file of annotations."""


class Global:
    """A name that a pickle may use, as an object of ours: callable, and nothing in it can be changed."""

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Any) -> None:
        self._name, self._make = name, make

    def __call__(self, *args: Any) -> Any:
        """What the stand-in makes of the pickle's arguments."""
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        """The opcode BUILD on a name would change it for all that follows."""
        raise Refused(f"it changes {self._name}")


class DType:
    """Stand-in for numpy.dtype: numbers and text of fixed width; objects, structures and dates are refused."""

    __slots__ = ("kind", "order", "size")

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        found = _DTYPE.fullmatch(code) if isinstance(code, str) else None
        if found is None:
            raise Refused(f"it holds an array of type {_short(code)}: objects, structures and dates are not data here")
        self.order, self.kind, self.size = found[1] or "<", found[2], int(found[3])
        if self.kind not in "US" and (self.kind, self.size) not in _STRUCT:
            raise Refused(f"it holds an array of type {_short(code)}")

    def __setstate__(self, state: Any) -> None:
        """(version, byte order, subarray, names, fields, ...): only the byte order may say something."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            raise Refused("it changes numpy.dtype in a way that numpy does not write")
        if any(part is not None for part in state[2:5]):
            raise Refused("it holds an array of structures")
        self.order = state[1]

    @property
    def item_bytes(self) -> int:
        """Bytes per value."""
        return self.size * (4 if self.kind == "U" else 1)

    @property
    def big_endian(self) -> bool:
        """Whether the most significant byte stands first."""
        return self.order == ">" or (self.order in "|=" and sys.byteorder == "big")


class Array:
    """Stand-in for numpy.ndarray: type, shape, memory order and bytes, none of them acted upon here."""

    __slots__ = ("data", "dtype", "fortran", "shape")

    def __init__(self) -> None:
        self.dtype: DType | None = None

    def __setstate__(self, state: Any) -> None:
        """(version, shape, dtype, fortran order, bytes), in old pickles without the version."""
        if self.dtype is not None or not isinstance(state, tuple) or len(state) not in (4, 5):
            raise Refused("it changes numpy.ndarray in a way that numpy does not write")
        shape, dtype, fortran, data = state[-4:]
        if isinstance(data, list):
            raise Refused("it holds an array of objects, which are pickles again")
        self.fill(data.encode("latin1") if isinstance(data, str) else data, dtype, shape, bool(fortran))

    def fill(self, data: Any, dtype: Any, shape: Any, fortran: bool) -> None:
        """Take the parts after comparing them with each other."""
        if not isinstance(dtype, DType) or not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple):
            raise Refused("it builds an array from parts that are not a type, a shape and bytes")
        if len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
            raise Refused(f"it builds an array of shape {_short(shape)}")
        if math.prod(shape) * dtype.item_bytes != len(data):
            raise Refused(f"an array of shape {_short(shape)} does not fit its {len(data)} bytes")
        self.data, self.dtype, self.shape, self.fortran = data, dtype, shape, fortran


def _reconstruct(*args: Any) -> Array:
    if not args or args[0] is not _NDARRAY:
        raise Refused("it builds an array of a class that is not numpy.ndarray")
    return Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    array = Array()
    array.fill(data, dtype, shape, order == "F")
    return array


def _scalar(dtype: Any, data: Any) -> bool | int | float | str:
    data = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(dtype, DType) or not isinstance(data, bytes) or len(data) != dtype.item_bytes:
        raise Refused("it builds a number from parts that are not a type and bytes")
    if dtype.kind == "U":
        return data.decode("utf-32-be" if dtype.big_endian else "utf-32-le").rstrip("\0")
    if dtype.kind == "S":
        return data.decode("latin1").rstrip("\0")
    return struct.unpack((">" if dtype.big_endian else "<") + _STRUCT[dtype.kind, dtype.size], data)[0]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocols 0 to 2 write bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(f"it asks for _codecs.encode with {_short(encoding)}")
    return text.encode("latin1")


def _no_bytes(*args: Any) -> bytes:
    """How protocols 0 to 2 write empty bytes."""
    if args:
        raise Refused("it asks for bytes(...)")
    return b""


def _not_called(*args: Any) -> None:
    raise Refused("it calls numpy.ndarray, which numpy's pickles do not")


_NDARRAY = Global("numpy.ndarray", _not_called)
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): Global("numpy.dtype", DType),
    ("_codecs", "encode"): Global("_codecs.encode", _encode),
}
for _core in ("numpy.core", "numpy._core"):
    _ADMITTED[f"{_core}.multiarray", "_reconstruct"] = Global("numpy's _reconstruct", _reconstruct)
    _ADMITTED[f"{_core}.multiarray", "scalar"] = Global("numpy's scalar", _scalar)
    _ADMITTED[f"{_core}.numeric", "_frombuffer"] = Global("numpy's _frombuffer", _frombuffer)
for _builtins in ("builtins", "__builtin__"):
    _ADMITTED[_builtins, "bytes"] = Global("bytes", _no_bytes)
    for _container in (set, frozenset, list, tuple, dict):
        _ADMITTED[_builtins, _container.__name__] = Global(_container.__name__, _container)


class RestrictedUnpickler(pickle.Unpickler):
    """Python's unpickler with a dictionary in place of the import system."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """The stand-in of that name.

        Raises:
            Refused: the name is none of the few by which numpy and Python write plain data.
        """
        try:
            return _ADMITTED[module_name, global_name]
        except KeyError:
            raise Refused(f"it asks for {_short(f'{module_name}.{global_name}', 200)}, which is not data") from None

    def persistent_load(self, pid: Any) -> Any:
        """Refused: objects outside the file."""
        raise Refused(f"it asks for the persistent object {_short(pid)}")


class _Counted(io.RawIOBase):
    """A file that tells how much of it was read."""

    def __init__(self, raw: io.RawIOBase, out: io.BufferedIOBase) -> None:
        self._raw, self._out, self._seen = raw, out, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._raw.readinto(memoryview(buffer)[:_PROGRESS_BYTES]) or 0
        self._seen += read
        _tell(self._out, read=self._seen)
        self._out.flush()
        return read


def load(file: io.BufferedIOBase) -> Any:
    """The pickle's content, arrays as `Array`, everything else as lists, tuples, sets, dictionaries, text and numbers.

    Raises:
        Refused: it asks for anything else, or is damaged.
    """
    try:
        return RestrictedUnpickler(file, encoding="latin1").load()
    except Refused:
        raise
    except MemoryError:
        raise Refused("it needs more memory than a file of its size should") from None
    except Exception as error:
        # The unpickler raises whatever the opcodes lead to: the file is not what numpy and pickle write.
        raise Refused(f"not a readable pickle ({type(error).__name__}: {_short(str(error), 200)})") from None


def write_annotations(content: Any, out: io.BufferedIOBase, most_bytes: int) -> None:
    """Write what was loaded as messages (see the module), at most so many bytes of arrays.

    Raises:
        Refused: this is not {"split": ..., "annotations": [...]} nor a list of annotations, or arrays are repeated.
    """
    annotations, splits = _parts(content)
    _tell(out, names=[_name(row, annotation) for row, annotation in enumerate(annotations)], splits=splits)
    written = 0
    for row, annotation in enumerate(annotations):
        header, arrays = _annotation(row, annotation)
        written += sum(len(array.data) for array in arrays)
        if written > most_bytes:
            raise Refused("its arrays are written again and again: far more data than the file has bytes")
        _tell(out, **header)
        for array in arrays:
            out.write(array.data)
    _tell(out, end=True)


def _parts(content: Any) -> tuple[list, dict[str, list[str]]]:
    if isinstance(content, list):
        return content, {}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise Refused('it is neither a list of annotations nor a dictionary with a list "annotations"')
    splits = content.get("split") or {}
    if not isinstance(splits, dict) or not all(
        isinstance(name, str) and isinstance(members, list | tuple | set) for name, members in splits.items()
    ):
        raise Refused('its "split" is not a dictionary of lists of names')
    for name, members in splits.items():
        if not all(isinstance(member, str) for member in members):
            raise Refused(f"its split {_short(name)} holds something that is not a name")
    ordered = {name: sorted(members) if isinstance(members, set) else list(members) for name, members in splits.items()}
    return content["annotations"], ordered


def _name(row: int, annotation: Any) -> str:
    if not isinstance(annotation, dict):
        raise Refused(f"annotation {row} is not a dictionary")
    name = annotation.get("frame_dir")
    if not isinstance(name, str) or not name:
        raise Refused(f"annotation {row} has no name (frame_dir)")
    return name


def _annotation(row: int, annotation: Any) -> tuple[dict[str, Any], list[Array]]:
    name, label = _name(row, annotation), annotation.get("label")
    where = f"annotation {row} ({_short(name, 80)})"
    if type(label) is not int or abs(label) >= _HUGE:
        raise Refused(f"{where} has the label {_short(label)}, not one whole number")
    if not isinstance(annotation.get("keypoint"), Array):
        raise Refused(f"{where} holds no array keypoint")
    found = {key: annotation[key] for key in _ARRAYS if annotation.get(key) is not None}
    for key, array in found.items():
        if not isinstance(array, Array) or array.dtype is None or array.dtype.kind not in "fiu":
            raise Refused(f"{where}: {key} is not an array of numbers")
    header = {
        "row": row,
        "frame_dir": name,
        "label": label,
        "total_frames": _whole(annotation.get("total_frames")),
        "image_hw": _size(annotation.get("img_shape")),
        "arrays": {key: _described(array) for key, array in found.items()},
    }
    return header, list(found.values())


def _described(array: Array) -> list:
    assert array.dtype is not None
    code = f"{'>' if array.dtype.big_endian else '<'}{array.dtype.kind}{array.dtype.size}"
    return [code, list(array.shape), array.fortran, len(array.data)]


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _HUGE else None


def _size(value: Any) -> list[int] | None:
    """Height and width of the image, from a tuple or a list."""
    if isinstance(value, tuple | list) and len(value) >= 2 and all(_whole(part) for part in value[:2]):
        return list(value[:2])
    return None


def _short(value: Any, length: int = 60) -> str:
    """A value for a message: never in the own words of an object, and no control characters of a terminal."""
    parts = value if isinstance(value, tuple) else (value,)
    plain = all(type(part) is int and abs(part) < _HUGE for part in parts)
    text = value if isinstance(value, str) else repr(value) if plain else type(value).__name__
    text = "".join(letter if letter.isprintable() else "?" for letter in text[: length + 1])
    return text if len(text) <= length else text[:length] + "..."


def _tell(out: io.BufferedIOBase, **message: Any) -> None:
    out.write(json.dumps(message).encode() + b"\n")


def _limit(memory_bytes: int, seconds: int) -> None:
    """Memory, processor time, no files written, no core dump: where the platform has such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
        resource.RLIMIT_CPU: (seconds, seconds + 5),  # the first ends in a signal of its own, the second in SIGKILL
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_CORE: (0, 0),
    }
    for which, limits in wanted.items():
        with contextlib.suppress(OSError, ValueError):  # lower ones stand already, or macOS, which sets no RLIMIT_AS
            resource.setrlimit(which, limits)


def main() -> None:
    """Read standard input as `convert.py` starts it: MEMORY_BYTES SECONDS MOST_ARRAY_BYTES."""
    memory_bytes, seconds, most_bytes = map(int, sys.argv[1:])
    _limit(memory_bytes, seconds)
    with os.fdopen(0, "rb", buffering=0, closefd=False) as source, os.fdopen(1, "wb", closefd=False) as out:
        try:
            content = load(io.BufferedReader(_Counted(source, out), _PROGRESS_BYTES))
            write_annotations(content, out, most_bytes)
        except Refused as refused:
            _tell(out, refused=str(refused))


if __name__ == "__main__":
    main()
