"""Checkpoints of others: two formats are read, nothing in them is run, and everything else is refused with a reason."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from flag3d_ray.errors import DataError
from flag3d_ray.models import torch_archive
from flag3d_ray.models.foreign_weights import read_weights

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "a.steps": torch.tensor(3), "b": torch.ones(2).half()}


def _saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def _same(read: dict[str, Tensor]) -> bool:
    return read.keys() == WEIGHTS.keys() and all(torch.equal(read[name], WEIGHTS[name]) for name in WEIGHTS)


class Program:
    """Unpickling it would write a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return exec, (f"open({str(self.victim)!r}, 'w')",)


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path):
    save_file({name: value.contiguous() for name, value in WEIGHTS.items()}, tmp_path / "file.ckpt")
    assert _same(read_weights(tmp_path / "file.ckpt"))


def test_an_archive_of_torch_save_is_read_by_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "load", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert _same(read_weights(_saved(tmp_path / "file.pt", OrderedDict(WEIGHTS))))


def test_a_program_in_an_archive_is_named_and_not_run(tmp_path):
    victim = tmp_path / "victim"
    path = _saved(tmp_path / "file.ckpt", {"state_dict": WEIGHTS, "callbacks": Program(victim)})
    with pytest.raises(torch_archive.Refused, match="its pickle asks for exec"):
        torch_archive.load(path)
    assert not victim.exists()


@pytest.mark.slow
def test_what_the_process_refuses_is_an_error_about_the_file_without_advice_to_trust_it(tmp_path):
    path = _saved(tmp_path / "file.ckpt", {"callbacks": Program(tmp_path / "victim")})
    with pytest.raises(DataError, match="its pickle asks for exec") as caught:
        read_weights(path)
    assert caught.value.where == str(path)
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "victim").exists()


def test_a_lightning_checkpoint_gives_its_state_dict(tmp_path):
    content = {
        "epoch": 3,
        "state_dict": OrderedDict(WEIGHTS),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-5}]}],
        "callbacks": {"ModelCheckpoint": {"best_model_path": "x.ckpt", "best_model_score": None}},
        "hyper_parameters": {"num_frames": 128, "backbone": "agcn"},
    }
    assert _same(torch_archive.load(_saved(tmp_path / "file.ckpt", content)))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (torch.ones(2), "no tensors by name but Tensor"),
        ({}, "no tensors by name but dict"),
        ({"model": WEIGHTS}, r"entry 'model' \(dict\)"),
        ({1: torch.ones(2)}, r"entry '1' \(Tensor\)"),
        ({"a": torch.eye(2).to_sparse()}, "entry 'a'"),
        ({"a": torch.empty(2, device="meta")}, "entry 'a'"),
        ({"a": torch.ones(1).expand(1 << 40)}, "larger than the file"),
    ],
)
def test_anything_but_dense_tensors_by_name_is_refused(tmp_path, content, rule):
    with pytest.raises(torch_archive.Refused, match=rule):
        torch_archive.load(_saved(tmp_path / "file.pt", content))


def test_a_damaged_archive_is_refused(tmp_path):
    path = _saved(tmp_path / "file.pt", WEIGHTS)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "less.pt", "w") as less:
        for member in whole.infolist():
            if not member.filename.endswith("data/0"):
                less.writestr(member.filename, whole.read(member))
    with pytest.raises(torch_archive.Refused, match="cannot be read"):
        torch_archive.load(tmp_path / "less.pt")


def _archive(path: Path, *names: str, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(name, b"0" * 100)


@pytest.mark.parametrize(
    ("write", "rule"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "not a file"),
        (lambda path: path.write_bytes(b""), "neither safetensors nor"),
        (lambda path: path.write_bytes(pickle.dumps(WEIGHTS)), "neither safetensors nor"),
        (lambda path: torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False), "an old format"),
        (lambda path: path.write_bytes(b"\x20" + bytes(7) + b"{" + bytes(40)), "not a readable safetensors"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(80)), "a damaged zip"),
        (lambda path: _archive(path, "a/data.pkl", "a/constants.pkl"), "TorchScript"),
        (lambda path: _archive(path, "a/data.pkl", "a/code/a.py"), "TorchScript"),
        (lambda path: _archive(path, "a/data.pkl", "b/data.pkl"), "does not write"),
        (lambda path: _archive(path, "word/document.xml"), "does not write"),
        (lambda path: _archive(path, "a/data.pkl", compression=zipfile.ZIP_DEFLATED), "compressed"),
    ],
)
def test_every_other_file_is_refused_before_anything_is_started(tmp_path, monkeypatch, write, rule):
    monkeypatch.setattr("subprocess.run", None)
    write(tmp_path / "file.pt")
    with pytest.raises(DataError, match=rule) as caught:
        read_weights(tmp_path / "file.pt")
    assert caught.value.where == str(tmp_path / "file.pt")


@pytest.mark.slow
def test_a_pickle_that_asks_for_much_memory_ends_its_own_process_only(tmp_path):
    path = _saved(tmp_path / "file.pt", WEIGHTS)
    bomb = (
        pickle.PROTO + b"\x02" + b"cbuiltins\nbytearray\n" + b"\x8a\x05" + (1 << 36).to_bytes(5, "little") + b"\x85R."
    )
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as other:
        for member in whole.infolist():
            other.writestr(member.filename, bomb if member.filename.endswith("data.pkl") else whole.read(member))
    with pytest.raises(DataError, match="MemoryError"):
        read_weights(tmp_path / "bomb.pt")
