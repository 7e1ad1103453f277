"""Pickles and links out of a folder are found by their names and first bytes, and never opened."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flag3d_ray.data.doctor.strays import stray_findings


def rules(root: Path) -> dict[str, str]:
    return {finding.file: finding.rule for finding in stray_findings(root)}


def test_a_folder_of_plain_files_gives_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", joints=np.zeros(3))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "b.csv").write_text("\ufeffa,b\n", encoding="utf-8")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "inside").symlink_to(tmp_path / "tables")
    assert rules(tmp_path) == {}


@pytest.mark.parametrize("name", ["a.pkl", "a.PICKLE", "deep/er/a.pt", "a.npz", "a"])
def test_a_pickle_under_any_name_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"joints": [1, 2]}))
    assert list(rules(tmp_path)) == [name]
    assert "a pickle" in rules(tmp_path)[name]


def test_a_link_out_of_the_folder_is_found_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "secret.pkl").write_bytes(b"\x80")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(tmp_path / "away")
    (root / "file.npz").symlink_to(tmp_path / "away" / "secret.pkl")
    (root / "nowhere.npz").symlink_to(tmp_path / "gone")
    found = rules(root)
    assert set(found) == {"folder", "file.npz", "nowhere.npz"}
    assert all("outside the folder" in rule for rule in found.values())


@pytest.mark.parametrize("member", ["../../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
@pytest.mark.parametrize("name", ["a.npz", "copy.zip"])
def test_an_archive_that_would_unpack_out_of_its_folder_is_found_and_not_unpacked(
    tmp_path: Path, name: str, member: str
) -> None:
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("joints.npy", b"")
        archive.writestr(member, b"evil")
    assert list(rules(tmp_path)) == [name]
    assert "would be unpacked outside its folder" in rules(tmp_path)[name]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_archive_that_cannot_be_read_is_left_to_whoever_reads_it(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04" + bytes(100))
    assert rules(tmp_path) == {}


def test_a_folder_that_is_reached_by_a_link_is_its_own_inside(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.npz").write_bytes(b"PK")
    (tmp_path / "real" / "b.npz").symlink_to("a.npz")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert rules(tmp_path / "link") == {}


def test_a_folder_that_is_not_there_gives_nothing(tmp_path: Path) -> None:
    assert rules(tmp_path / "nowhere") == {}
