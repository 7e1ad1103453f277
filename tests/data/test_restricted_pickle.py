"""No pickle runs anything: payloads are planted, shown to fire under `pickle.loads`, and refused by name."""

import copyreg
import functools
import io
import os
import pickle
import pickletools
import re
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flag3d_ray.data import restricted_pickle
from flag3d_ray.data.pickled_annotations import open_pickle
from flag3d_ray.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Calls:
    """Pickled as a call of `function` with `args`."""

    def __init__(self, function: Callable, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


class Later(Calls):
    """Pickled as an object that calls when its state is set (BUILD)."""

    def __reduce__(self):
        return functools.partial, (self.function,), (self.function, self.args, {}, None)


def touch(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').close()"


def system(marker: Path) -> Calls:
    return Calls(os.system, f"touch '{marker}'")


def evaluated(marker: Path) -> Calls:
    return Calls(eval, touch(marker))


def executed(marker: Path) -> Calls:
    return Calls(exec, touch(marker))


def opened(marker: Path) -> Calls:
    return Calls(open, str(marker), "w")


def popen(marker: Path) -> Calls:
    return Calls(subprocess.run, ["touch", str(marker)])


def annotation(**changed: Any) -> dict[str, Any]:
    keypoint = np.arange(2 * 3 * 17 * 2, dtype=np.float16).reshape(2, 3, 17, 2)
    return {"frame_dir": "a", "label": 0, "total_frames": 3, "img_shape": (480, 854), "keypoint": keypoint} | changed


def annotations(evil: object) -> dict[str, Any]:
    """A file of annotations with the payload deep inside."""
    return {"split": {"train": ["a"]}, "annotations": [annotation(), annotation(frame_dir="b", extra=[({"x": evil},)])]}


def object_array(evil: object) -> dict[str, Any]:
    array = np.empty(1, dtype=object)
    array[0] = evil
    return {"annotations": [annotation(keypoint=array)]}


def refused(path: Path, content: bytes) -> str:
    """What `open_pickle` says of the file."""
    path.write_bytes(content)
    with pytest.raises(DataError) as caught, open_pickle(path) as contents:
        list(contents.annotations)
    assert caught.value.where == str(path)
    return caught.value.rule


def fires(content: bytes, marker: Path) -> bool:
    """Whether an ordinary unpickler runs the payload; the marker is gone afterwards."""
    try:
        pickle.loads(content)
    finally:
        there = marker.exists()
        marker.unlink(missing_ok=True)
    return there


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (system, f"{os.name}.system"),
        (evaluated, "eval"),
        (executed, "exec"),
        (opened, "io.open"),
        (popen, ".run"),
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_call_is_refused_by_name_in_every_protocol(tmp_path, payload, name, protocol):
    marker = tmp_path / "marker"
    content = pickle.dumps(annotations(payload(marker)), protocol)
    assert fires(content, marker)
    assert name in refused(tmp_path / "planted.pkl", content)
    assert not marker.exists()


@pytest.mark.parametrize(
    "planted",
    [
        lambda evil: evil,
        lambda evil: [evil],
        lambda evil: {"annotations": evil},
        lambda evil: {"annotations": [evil]},
        lambda evil: {"split": evil, "annotations": []},
        lambda evil: {"annotations": [annotation(label=evil)]},
        lambda evil: {"annotations": [annotation(keypoint=evil)]},
        lambda evil: {"annotations": [annotation(frame_dir=evil)]},
        lambda evil: {(1, (2, (3, evil))): 1},
        lambda evil: [[[[[[[[evil]]]]]]]],
    ],
)
def test_a_call_is_refused_wherever_it_hides(tmp_path, planted):
    marker = tmp_path / "marker"
    content = pickle.dumps(planted(system(marker)))
    assert fires(content, marker)
    assert ".system" in refused(tmp_path / "planted.pkl", content)
    assert not marker.exists()


def test_an_array_of_objects_is_refused(tmp_path):
    marker = tmp_path / "marker"
    content = pickle.dumps(object_array(system(marker)))
    assert fires(content, marker)
    assert "array of type O8" in refused(tmp_path / "planted.pkl", content)
    assert not marker.exists()


def test_a_call_when_state_is_set_is_refused(tmp_path):
    marker = tmp_path / "marker"
    assert "functools.partial" in refused(tmp_path / "planted.pkl", pickle.dumps(Later(os.system, f"touch '{marker}'")))
    assert not marker.exists()


def short(text: str) -> bytes:
    return pickle.SHORT_BINUNICODE + struct.pack("<B", len(text)) + text.encode()


def opcodes(kind: str, marker: Path) -> bytes:
    """The call of os.system spelt in opcodes that no pickler writes."""
    module, command = os.system.__module__, f"touch '{marker}'"
    call = short(command) + pickle.TUPLE1 + pickle.REDUCE + pickle.STOP
    old = f"{module}\nsystem\n".encode()
    return {
        "STACK_GLOBAL of strings": b"\x80\x04" + short(module) + short("system") + pickle.STACK_GLOBAL + call,
        "strings from the memo": b"\x80\x04"
        + (short("system") + pickle.MEMOIZE + pickle.POP + short(module) + pickle.MEMOIZE + pickle.POP)
        + (pickle.BINGET + b"\x01" + pickle.BINGET + b"\x00" + pickle.STACK_GLOBAL + call),
        "function from the memo": b"\x80\x04"
        + (pickle.GLOBAL + old + pickle.LONG_BINPUT + struct.pack("<I", 77) + pickle.POP)
        + (pickle.LONG_BINGET + struct.pack("<I", 77) + call),
        "INST": pickle.MARK + f"S{command!r}\n".encode() + pickle.INST + old + pickle.STOP,
        "OBJ": pickle.MARK + pickle.GLOBAL + old + f"S{command!r}\n".encode() + pickle.OBJ + pickle.STOP,
        "a dotted name": b"\x80\x04" + short("os") + short("sys.modules") + pickle.STACK_GLOBAL + pickle.STOP,
        "an attribute of numpy": b"\x80\x04"
        + short("numpy")
        + short("dtype.__class__")
        + pickle.STACK_GLOBAL
        + pickle.STOP,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("STACK_GLOBAL of strings", "system"),
        ("strings from the memo", "system"),
        ("function from the memo", "system"),
        ("INST", "system"),
        ("OBJ", "system"),
        ("a dotted name", "os.sys.modules"),
        ("an attribute of numpy", "numpy.dtype.__class__"),
    ],
)
def test_opcodes_that_no_pickler_writes_are_refused(tmp_path, kind, name):
    marker = tmp_path / "marker"
    content = opcodes(kind, marker)
    assert fires(content, marker) == (name == "system")
    assert name in refused(tmp_path / "planted.pkl", content)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("numpy.testing._private.utils runstring", "numpy fromfile", "numpy load", "numpy.core.multiarray fromfile"),
        *("builtins getattr", "builtins __import__", "builtins bytearray", "builtins map", "__builtin__ apply"),
        *("operator attrgetter", "_codecs decode", "copyreg _reconstructor", "copy_reg _reconstructor"),
        *("pickle loads", "_pickle loads", "torch _utils", "collections OrderedDict", "numpy.ma.core _mareconstruct"),
    ],
)
def test_any_name_but_those_of_plain_data_is_refused(name):
    module, function = name.split()
    content = pickle.GLOBAL + f"{module}\n{function}\n".encode() + pickle.STOP
    with pytest.raises(restricted_pickle.Refused, match=rf"asks for {module}\.{function}"):
        restricted_pickle.load(io.BytesIO(content))


def test_names_of_the_extension_registry_do_not_reach_the_child(tmp_path):
    marker = tmp_path / "marker"
    copyreg.add_extension(os.system.__module__, "system", 240)
    try:
        content = pickle.dumps(system(marker), 2)
        assert any(opcode.name == "EXT1" for opcode, _, _ in pickletools.genops(content))
        assert fires(content, marker)
        assert "unregistered extension code 240" in refused(tmp_path / "planted.pkl", content)
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 240)
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"Pos.system\n.", b"\x80\x02U\tos.systemQ."])
def test_persistent_ids_are_refused_by_name(tmp_path, content):
    assert "persistent object os.system" in refused(tmp_path / "planted.pkl", content)


def test_a_second_pickle_behind_the_first_is_never_read(tmp_path):
    marker, path = tmp_path / "marker", tmp_path / "two.pkl"
    path.write_bytes(pickle.dumps([annotation()]) + pickle.dumps(system(marker)))
    with open_pickle(path) as contents:
        assert len(list(contents.annotations)) == 1
    assert not marker.exists()


def named(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (named("_codecs", "encode") + b"(Vpayload\nVrot13\ntR.", "_codecs.encode with rot13"),
        (named("_codecs", "encode") + b"(Vpayload\nVunicode_escape\ntR.", "_codecs.encode with unicode_escape"),
        (named("builtins", "bytes") + b"(I1000000000000\ntR.", r"bytes\(\.\.\.\)"),
        (named("numpy", "ndarray") + b"(I4\ntR.", "calls numpy.ndarray"),
        (named("numpy", "dtype") + b"(VO8\nI00\nI01\ntR.", "type O8"),
        (named("numpy", "dtype") + b"(VM8[ns]\nI00\nI01\ntR.", "type M8"),
        (named("numpy", "dtype") + b"(Vf3\ntR.", "type f3"),
        (named("numpy", "dtype") + b"(VV8\ntR.", "type V8"),
        (named("numpy", "dtype") + b"(Vf8\ntR(I3\nV<\nNV(x)\nNtb.", "array of structures"),
        (named("numpy", "dtype") + b"(Vf8\ntR}Vdata\nI1\nsb.", "changes numpy.dtype"),
        (named("numpy", "dtype") + b"}Vx\nI1\nsb.", "changes numpy.dtype"),
        (named("numpy.core.multiarray", "_reconstruct") + b"}Vx\nI1\nsb.", "changes numpy's _reconstruct"),
        (named("numpy.core.multiarray", "_reconstruct") + b"(c__builtin__\nlist\n(I0\ntVb\ntR.", "not numpy.ndarray"),
        (named("builtins", "list") + b"}V__call__\nI1\nsb.", "changes list"),
        (named("builtins", "list") + b"(I5\ntR.", "TypeError"),
    ],
)
def test_what_may_be_named_cannot_be_misused(content, rule):
    with pytest.raises(restricted_pickle.Refused, match=rule):
        restricted_pickle.load(io.BytesIO(content))


@pytest.mark.parametrize(
    "state",
    [
        (1, (4,), np.dtype("f4"), False, b"\0" * 15),
        (1, (1 << 60,), np.dtype("f4"), False, b""),
        (1, (-1,), np.dtype("f4"), False, b"\0" * 4),
        (1, (2,), np.dtype("f4"), False, [1.0, 2.0]),
        (1, "shape", np.dtype("f4"), False, b""),
        (1, (1,), "f4", False, b"\0" * 4),
        "no state",
    ],
)
def test_an_array_whose_parts_do_not_fit_together_is_refused(state):
    class Array:
        def __reduce__(self):
            function, args = np.zeros(1).__reduce__()[:2]
            return function, args, state

    with pytest.raises(restricted_pickle.Refused, match="array"):
        restricted_pickle.load(io.BytesIO(pickle.dumps(Array(), 2)))


def test_control_characters_of_a_name_do_not_reach_the_terminal(tmp_path):
    rule = refused(tmp_path / "planted.pkl", b"c\x1b[2Jos\nsys\x07tem\n.")
    assert rule.isprintable()
    assert "?[2Jos.sys?tem" in rule


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "not a readable pickle"),
        (b"\x80", "not a readable pickle"),
        (b"hello world", "not a readable pickle"),
        (pickle.dumps([annotation()])[:-40], "not a readable pickle"),
        (b"\x80\x09.", "not a readable pickle"),
        (b"\x80\x05" + pickle.NEXT_BUFFER + b".", "not a readable pickle"),
        (pickle.dumps({"split": {}}), 'a list "annotations"'),
        (pickle.dumps("text"), "neither a list"),
        (pickle.dumps([1]), "annotation 0 is not a dictionary"),
        (pickle.dumps([annotation(frame_dir="")]), "annotation 0 has no name"),
        (pickle.dumps([annotation(), annotation(label=1.5)]), r"annotation 1 \(a\) has the label float"),
        (pickle.dumps([annotation(label=10**6000)]), "has the label int"),
        (pickle.dumps([annotation(keypoint=[1, 2])]), "holds no array keypoint"),
        (pickle.dumps([annotation(keypoint=np.array(["x"]))]), "not an array of numbers"),
        (pickle.dumps([annotation(keypoint=np.zeros((3, 2)))]), r"\[M, T, V, C\], found \[3, 2\]"),
        (pickle.dumps([annotation(keypoint=np.zeros((1, 0, 17, 2)))]), r"found \[1, 0, 17, 2\]"),
        (pickle.dumps([annotation(keypoint_score=np.zeros((1, 3, 16)))]), r"keypoint_score \[1, 3, 16\]"),
        (pickle.dumps({"annotations": [], "split": [1]}), "not a dictionary of lists"),
        (pickle.dumps({"annotations": [], "split": {"train": [1]}}), "not a name"),
    ],
    ids=range(19),
)
def test_a_file_that_is_no_file_of_annotations_is_named(tmp_path, content, rule):
    assert re.search(rule, refused(tmp_path / "some.pkl", content))


def test_an_array_that_is_written_again_and_again_does_not_fill_the_disk(tmp_path):
    array = np.zeros((1, 1000, 17, 2))
    many = [annotation(frame_dir=f"{number}", keypoint=array) for number in range(50)]
    assert "again and again" in refused(tmp_path / "bomb.pkl", pickle.dumps(many))


def test_progress_is_told_while_the_file_is_read():
    command = [sys.executable, "-I", "-B", restricted_pickle.__file__, str(1 << 30), "10", str(1 << 20)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(b"\x80\x04" + 2000 * pickle.NONE)
        running.stdin.flush()
        assert running.stdout.readline() == b'{"read": 2002}\n'
        running.kill()


def child(content: bytes, memory: int, seconds: int) -> subprocess.CompletedProcess:
    command = [sys.executable, "-I", "-B", restricted_pickle.__file__, str(memory), str(seconds), str(1 << 20)]
    return subprocess.run(command, input=content, capture_output=True, check=False)


def test_more_memory_than_the_limit_is_refused():
    content = b"\x80\x04" + pickle.BINBYTES8 + struct.pack("<Q", 8 << 30) + bytes(1000)
    said = child(content, 256 << 20, 10)
    assert b"more memory than" in said.stdout


def test_more_processor_time_than_the_limit_ends_the_child():
    head = b"\x80\x04" + named("builtins", "list") + pickle.MEMOIZE + pickle.POP
    long_list = pickle.EMPTY_LIST + pickle.MARK + 100_000 * pickle.NONE + pickle.APPENDS + pickle.MEMOIZE + pickle.POP
    copy = pickle.BINGET + b"\x00" + pickle.BINGET + b"\x01" + pickle.TUPLE1 + pickle.REDUCE + pickle.POP
    said = child(head + long_list + 200_000 * copy + pickle.NONE + pickle.STOP, 1 << 30, 1)
    assert said.returncode == -signal.SIGXCPU


def test_the_child_can_write_no_file(tmp_path):
    script = (
        "import importlib.util as u, sys\n"
        f"s = u.spec_from_file_location('r', {restricted_pickle.__file__!r}); m = u.module_from_spec(s)\n"
        "s.loader.exec_module(m); m._limit(1 << 30, 10)\n"
        f"with open({str(tmp_path / 'written')!r}, 'w') as file: file.write('x')\n"
    )
    said = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=False)
    assert b"File too large" in said.stderr
    assert (tmp_path / "written").read_bytes() == b""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0


def test_the_child_needs_neither_numpy_nor_this_package():
    script = f"import runpy, sys; runpy.run_path({restricted_pickle.__file__!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "flag3d_ray", "torch"} & set(loaded.split())
