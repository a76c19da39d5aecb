import os
import stat
from pathlib import Path

import pytest
from pullback.runtime.package import publish as module
from pullback.runtime.package.publish import publish_files

FILES = {"a.o": b"object", "b.so": b"library", "c.h": b"header", "d.py": b"loader"}
OLD = {"a.o": b"old object", "c.h": b"old header", "notes.txt": b"kept"}


def contents(folder: Path):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def fill(folder: Path):
    folder.mkdir()
    for name, data in OLD.items():
        (folder / name).write_bytes(data)


def test_new_folder_has_all_files(tmp_path):
    paths = publish_files(tmp_path / "deep" / "er" / "out", FILES)
    assert paths == [tmp_path / "deep" / "er" / "out" / name for name in FILES]
    assert contents(tmp_path / "deep" / "er" / "out") == FILES
    assert os.listdir(tmp_path / "deep" / "er") == ["out"]
    mask = os.umask(0)
    os.umask(mask)
    mode = stat.S_IMODE((tmp_path / "deep" / "er" / "out").stat().st_mode)
    assert mode == 0o777 & ~mask


def test_existing_folder_keeps_other_files(tmp_path):
    fill(tmp_path / "out")
    publish_files(tmp_path / "out", FILES)
    assert contents(tmp_path / "out") == {**OLD, **FILES}
    assert os.listdir(tmp_path) == ["out"]


def failing(function, turn):
    count = 0

    def wrapped(*args, **kwargs):
        nonlocal count
        count += 1
        if count == turn:
            raise OSError(28, "no space left")
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("turn", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
@pytest.mark.parametrize("exists", [False, True])
def test_failures_leave_everything_as_it_was(tmp_path, monkeypatch, step, turn, exists):
    if exists:
        fill(tmp_path / "out")
    if (step, exists) == ("replace", False) or (step != "fsync" and turn > 4):
        pytest.skip("the step is not taken")
    if step == "write":
        monkeypatch.setattr(module, "_write", failing(module._write, turn))
    else:
        monkeypatch.setattr(module.os, step, failing(getattr(os, step), turn))
    with pytest.raises(OSError, match="no space left"):
        publish_files(tmp_path / "out" if exists else tmp_path / "new" / "out", FILES)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == (["out"] if exists else [])
    if exists:
        assert contents(tmp_path / "out") == OLD


def test_failure_of_the_rename_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "rename", failing(Path.rename, 1))
    with pytest.raises(OSError, match="no space left"):
        publish_files(tmp_path / "out", FILES)
    assert os.listdir(tmp_path) == []


def test_interrupt_leaves_everything_as_it_was(tmp_path, monkeypatch):
    fill(tmp_path / "out")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_sync_folder", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish_files(tmp_path / "out", FILES)
    assert contents(tmp_path / "out") == OLD
    assert os.listdir(tmp_path) == ["out"]


def test_files_in_the_way_are_errors(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="exists and is not a folder"):
        publish_files(tmp_path / "out", FILES)
    (tmp_path / "other" / "c.h").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"c\.h is a folder"):
        publish_files(tmp_path / "other", FILES)
    assert os.listdir(tmp_path / "other") == ["c.h"]
    assert sorted(os.listdir(tmp_path)) == ["other", "out"]


def test_works_without_hard_links(tmp_path, monkeypatch):
    fill(tmp_path / "out")
    monkeypatch.setattr(module.os, "link", failing(os.link, 1))
    monkeypatch.setattr(module.os, "replace", failing(os.replace, 3))
    with pytest.raises(OSError, match="no space left"):
        publish_files(tmp_path / "out", FILES)
    assert contents(tmp_path / "out") == OLD
