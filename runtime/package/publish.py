"""Put a set of files into a folder so that readers see all of them or none.

The files are written and synced in a sibling folder first. A new output folder is made
by one rename. An existing one keeps its other files: each of ours is moved in by an
atomic rename, with the file it replaces kept aside until all are in, and put back if a
later step fails.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


def publish_files(
    out_dir: str | os.PathLike[str], contents: Mapping[str, bytes]
) -> list[Path]:
    """Write all files or none; return their paths in the order given.

    Args:
        out_dir: the folder; it is made, with its parents, if it does not exist.
        contents: the bytes of each file, by its plain name.

    Raises:
        OSError: a file could not be written. The folder is as it was.
    """
    target = Path(out_dir).absolute()
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} exists and is not a folder")
    made = _make_parents(target.parent)
    staging: Path | None = None
    try:
        staging = target.parent / f".{target.name}.{secrets.token_hex(8)}"
        staging.mkdir()
        for name, data in contents.items():
            _write(staging / name, data)
        _sync_folder(staging)
        if target.exists():
            _move_in(staging, target, list(contents))
        else:
            staging.rename(target)
            try:
                _sync_folder(target.parent)
            except BaseException:
                target.rename(staging)
                raise
    except BaseException:
        for folder in reversed(made):
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)
            with suppress(OSError):
                folder.rmdir()
        raise
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return [target / name for name in contents]


def _make_parents(folder: Path) -> list[Path]:
    """Make the folder with its parents; return those that were missing, outer first."""
    missing = []
    probe = folder
    while not probe.exists():
        missing.append(probe)
        probe = probe.parent
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # folders cannot be opened there; renames are journalled
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_in(staging: Path, target: Path, names: list[str]) -> None:
    """Rename the staged files into a folder; put the old ones back on error."""
    kept = staging / ".replaced"
    kept.mkdir()
    for name in names:
        if (target / name).is_dir():
            raise IsADirectoryError(f"{target / name} is a folder")
        if (target / name).exists():
            # A second name for the old file, so that it is never missing.
            _link_or_copy(target / name, kept / name)
    done: list[str] = []
    try:
        for name in names:
            os.replace(staging / name, target / name)
            done.append(name)
        _sync_folder(target)
    except BaseException:
        for name in done:
            if (kept / name).exists():
                os.replace(kept / name, target / name)
            else:
                (target / name).unlink()
        raise


def _link_or_copy(old: Path, new: Path) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)  # the file system has no hard links
