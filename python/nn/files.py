"""Files that are either whole or not there: write aside, fsync, rename."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from nn import messages
from nn.errors import NNError

Chunk = bytes | memoryview

_SAVING = ".saving"
COMPLETE = ".complete"
"""In a folder whose save was cut off: the files that `recover` moves up."""
_STALE = ".stale"


def reason(error: OSError) -> str:
    """Why the system refused, in the words of cuda/tools/messages.json."""
    number = error.errno or 0
    return messages.REASONS.get(number, f"system error {number}")


def cannot_read(path: str | Path, error: OSError) -> NNError:
    return messages.cannot_read(path=str(path), reason=reason(error))


def cannot_write(path: str | Path, error: OSError) -> NNError:
    if error.errno == errno.ENOSPC:
        return messages.disk_full(path=str(path))
    return messages.cannot_write(path=str(path), reason=reason(error))


def read_bytes(path: str | Path, kind: str) -> bytes:
    """The file's bytes. `kind` says what kind of folder it should be in. Errors: file_missing, cannot_read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise messages.file_missing(path=str(path), kind=kind) from None
    except OSError as error:
        raise cannot_read(path, error) from None


def require_folder(path: str | Path, kind: str) -> None:
    """Errors: folder_missing, not_a_folder."""
    if not os.path.exists(path):
        raise messages.folder_missing(path=str(path), kind=kind)
    if not os.path.isdir(path):
        raise messages.not_a_folder(path=str(path), kind=kind)


def write_synced(path: Path, chunks: Iterable[Chunk]) -> None:
    """Creates `path` with `chunks` one after the other and waits until the disk has them. Errors: OSError."""
    with open(path, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def copy_synced(source: Path, target: Path) -> None:
    """Copies the content of a file and waits until the disk has it. Errors: OSError."""
    shutil.copyfile(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Waits until the names in the folder `path` are on the disk. Errors: OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: str | Path, chunks: Iterable[Chunk]) -> None:
    """Replaces the one file `path`: a reader sees the old or the new bytes, never a mixture.

    What is there and no regular file (a device, a pipe) stays: putting a file in its place would break others' work.
    Errors: disk_full, cannot_write; then the old file is untouched and nothing else is left.
    """
    target = Path(path)
    try:
        if target.is_dir():  # before its name is used: / and . have none
            raise IsADirectoryError(errno.EISDIR, "")
        if target.exists() and not target.is_file():
            raise OSError(errno.ENODEV, "")
        aside = target.with_name(f".{target.name}.saving")
        try:
            write_synced(aside, chunks)
            os.replace(aside, target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from None


class FolderSave:
    """Writes several files into the folder `path` so that they appear together.

        with FolderSave(path, owned) as save:
            save.write("config.json", [b"..."])

    A new folder is filled beside its place under the name `.NAME.saving` and renamed when it is whole. In a
    folder that is there already the files go to `.saving`; renaming that to `.complete` is the moment of
    saving, and `recover` then moves the files up one by one, now or after a crash. Of the old files, those
    for which `owned(name)` holds and that were not written again are removed; the others stay.

    Any failure before that moment removes what was written. Errors: disk_full, cannot_write.
    """

    def __init__(self, path: str | Path, owned: Callable[[str], bool]) -> None:
        self.path = Path(path)
        self._owned = owned
        self._exists = False
        self._aside = self.path

    def __enter__(self) -> FolderSave:
        try:
            self._exists = self.path.exists()
            if self._exists and not self.path.is_dir():
                raise FileExistsError(errno.EEXIST, "")
            if self._exists:
                recover(self.path)
                self._aside = self.path / _SAVING
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._aside = self.path.parent / f".{self.path.name}.saving"
            if self._aside.exists():
                shutil.rmtree(self._aside)
            self._aside.mkdir()
        except OSError as error:
            raise cannot_write(self.path, error) from None
        return self

    def write(self, name: str, chunks: Iterable[Chunk]) -> None:
        try:
            write_synced(self._aside / name, chunks)
        except OSError as error:
            raise cannot_write(self.path / name, error) from None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: object) -> None:
        if kind is not None:
            shutil.rmtree(self._aside, ignore_errors=True)
            return
        try:
            self._commit()
        except OSError as error:
            shutil.rmtree(self._aside, ignore_errors=True)
            raise cannot_write(self.path, error) from None

    def _commit(self) -> None:
        if not self._exists:
            sync_folder(self._aside)
            os.rename(self._aside, self.path)
            sync_folder(self.path.parent)
            return
        written = {entry.name for entry in self._aside.iterdir()}
        stale = [entry.name for entry in self.path.iterdir() if self._owned(entry.name)]
        lines = sorted(name + "\n" for name in stale if name not in written)
        write_synced(self._aside / _STALE, ["".join(lines).encode()])
        sync_folder(self._aside)
        os.rename(self._aside, self.path / COMPLETE)
        sync_folder(self.path)
        recover(self.path)


def recover(path: str | Path) -> None:
    """Finishes a `FolderSave` of the folder `path` that was cut off behind its moment of saving, if there is one.

    Errors: OSError.
    """
    folder = Path(path)
    complete = folder / COMPLETE
    if not os.path.isdir(complete):  # also where the folder cannot be searched: reading will say so
        return
    stale = complete / _STALE
    if stale.exists():
        for name in stale.read_bytes().decode().splitlines():
            if _is_plain_name(name):
                (folder / name).unlink(missing_ok=True)
    for entry in sorted(complete.iterdir()):
        if entry.name != _STALE:
            os.replace(entry, folder / entry.name)
    sync_folder(folder)
    stale.unlink(missing_ok=True)
    complete.rmdir()


def _is_plain_name(name: str) -> bool:
    """A file of the folder itself: a list read from the disk must not reach elsewhere."""
    return name != "" and not name.startswith(".") and "/" not in name and "\\" not in name
