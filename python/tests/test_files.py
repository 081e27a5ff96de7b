"""Files and folders are whole or not there."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nn import files
from nn.errors import NNError


def content(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def breaking(number: int) -> Iterator[bytes]:
    yield b"some"
    raise OSError(number, "as the system would")


def save(path: Path, new: dict[str, bytes]) -> None:
    with files.FolderSave(path, lambda name: name.startswith("own")) as folder:
        for name, data in new.items():
            folder.write(name, [data])


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.write_file(path, [b"one", memoryview(b"two")])
    assert content(tmp_path) == {"x": b"onetwo"}
    with pytest.raises(NNError) as caught:
        files.write_file(path, breaking(errno.ENOSPC))
    assert str(caught.value) == (f"{path}: cannot be written: the disk is full; nothing half-written was left behind")
    assert content(tmp_path) == {"x": b"onetwo"}
    with pytest.raises(KeyboardInterrupt):
        files.write_file(path, interrupt())
    assert content(tmp_path) == {"x": b"onetwo"}


def interrupt() -> Iterator[bytes]:
    yield b"some"
    raise KeyboardInterrupt


def test_a_full_device(tmp_path: Path) -> None:
    """The kernel's own ENOSPC, from /dev/full."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError, match="No space") as caught:
        files.write_synced(Path("/dev/full"), [b"x"])
    assert files.cannot_write("p", caught.value).key == "disk_full"


def test_a_copy_has_the_bytes_and_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    (tmp_path / "a").write_bytes(bytes(range(256)) * 1024)
    files.copy_synced(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == bytes(range(256)) * 1024
    assert synced == [(tmp_path / "b").stat().st_ino]
    with pytest.raises(FileNotFoundError):
        files.copy_synced(tmp_path / "c", tmp_path / "d")
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space"):
            files.copy_synced(tmp_path / "a", Path("/dev/full"))


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with files.FolderSave(path, lambda name: False) as folder:
        folder.write("x", [b"1"])
        assert not path.exists()
    assert content(path) == {"x": b"1"}
    assert os.listdir(path.parent) == ["b"]


def test_a_new_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with pytest.raises(NNError) as caught, files.FolderSave(path, lambda name: False) as folder:
        folder.write("x", [b"1"])
        folder.write("y", breaking(errno.EDQUOT))
    assert str(caught.value) == f"{path / 'y'}: cannot be written: the disk quota is used up"
    assert content(tmp_path) == {}


def test_an_old_folder_keeps_foreign_files_and_loses_its_own_old_ones(tmp_path: Path) -> None:
    save(tmp_path, {"own-1": b"1", "own-2": b"2", "x": b"3"})
    (tmp_path / "foreign").write_bytes(b"4")
    save(tmp_path, {"own-2": b"5"})
    assert content(tmp_path) == {"own-2": b"5", "x": b"3", "foreign": b"4"}


def test_an_old_folder_that_fails_is_untouched(tmp_path: Path) -> None:
    save(tmp_path, {"own-1": b"1"})
    for number in (errno.ENOSPC, errno.EIO):
        with pytest.raises(NNError), files.FolderSave(tmp_path, lambda name: True) as folder:
            folder.write("own-1", [b"2"])
            folder.write("own-2", breaking(number))
        assert content(tmp_path) == {"own-1": b"1"}


@pytest.mark.parametrize("moves", range(4))
def test_a_save_cut_off_behind_its_moment_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    """The process dies after `moves` of three renames; whoever comes next finds the new files."""
    save(tmp_path, {"own-0": b"old", "own-1": b"old", "own-9": b"old"})
    real, left = os.replace, [moves]

    def replace(source: Path, target: Path) -> None:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    new = {"own-0": b"new", "own-1": b"new", "own-2": b"new"}
    if moves < 3:
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, new)
    else:
        save(tmp_path, new)
    monkeypatch.undo()
    files.recover(tmp_path)
    assert content(tmp_path) == new
    files.recover(tmp_path)
    assert content(tmp_path) == new


def test_leftovers_of_a_killed_save_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".saving").mkdir()
    (tmp_path / ".saving" / "half").write_bytes(b"half")
    (tmp_path / ".n.saving").mkdir()
    save(tmp_path, {"own-1": b"1"})
    save(tmp_path / "n", {"own-2": b"2"})
    assert sorted(os.listdir(tmp_path)) == ["n", "own-1"]


def test_the_list_of_old_files_reaches_nothing_outside(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"1")
    folder = tmp_path / "f"
    (folder / ".complete").mkdir(parents=True)
    (folder / ".complete" / ".stale").write_bytes(
        b"../precious\n" + str(tmp_path / "precious").encode() + b"\n..\n.\n\n"
    )
    files.recover(folder)
    assert content(folder) == {}
    assert (tmp_path / "precious").exists()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(NNError) as caught:
        save(tmp_path / "f" / "g", {"x": b""})
    assert str(caught.value) == f"{tmp_path / 'f' / 'g'}: cannot be written: a file is in the way"
    with pytest.raises(NNError) as caught:
        save(tmp_path / "f", {"x": b""})
    assert str(caught.value) == f"{tmp_path / 'f'}: cannot be written: a file is in the way"


def test_required_folder(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(NNError, match="no such folder, expected a thing"):
        files.require_folder(tmp_path / "x", "thing")
    with pytest.raises(NNError, match="not a folder, expected a thing"):
        files.require_folder(tmp_path / "f", "thing")
