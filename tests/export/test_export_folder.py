"""Folders appear whole or not at all, and nobody's files are lost."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path

import pytest

from tflm_opt.errors import OutputExists
from tflm_opt.export import folder as folder_module
from tflm_opt.export.archive import atomic_archive
from tflm_opt.export.folder import MANIFEST, atomic_folder, check_folder, is_ours, write_file


def write(path: Path, text: str = "one", *, force: bool = False) -> None:
    with atomic_folder(path, force=force) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text(text)


def content(path: Path) -> str:
    return (path / "sub" / "file").read_text()


def only_child(path: Path) -> None:
    """Nothing but `path` in its folder: no scratch left behind."""
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_new_folder_with_parents(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "out"
    write(target)
    assert content(target) == "one"
    assert is_ours(target)
    only_child(target)
    plain = tmp_path / "plain"
    plain.mkdir()
    assert target.stat().st_mode == plain.stat().st_mode


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    write(target)
    assert content(target) == "one"


def test_our_own_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target)
    with atomic_folder(target) as folder:
        (folder / "other").write_text("two")
    assert sorted(p.name for p in target.iterdir()) == [MANIFEST, "other"]
    only_child(target)


def _add(target: Path) -> None:
    (target / "notes.txt").write_text("mine")


def _edit(target: Path) -> None:
    (target / "sub" / "file").write_text("mine")


def _remove(target: Path) -> None:
    (target / "sub" / "file").unlink()


def _drop_manifest(target: Path) -> None:
    (target / MANIFEST).unlink()


def _break_manifest(target: Path) -> None:
    (target / MANIFEST).write_text("[1, 2")


@pytest.mark.parametrize("change", [_add, _edit, _remove, _drop_manifest, _break_manifest])
def test_changed_folder_is_refused_without_force(change, tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target)
    change(target)
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    with pytest.raises(OutputExists, match="--force"):
        check_folder(target)
    with pytest.raises(OutputExists, match="--force"):
        write(target, "two")
    assert {p: p.read_bytes() for p in target.rglob("*") if p.is_file()} == before
    write(target, "two", force=True)
    assert content(target) == "two"
    assert is_ours(target)


def test_build_output_is_not_a_change(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target)
    (target / ".pio" / "build").mkdir(parents=True)
    (target / ".pio" / "build" / "firmware.elf").write_text("x")
    write(target, "two")
    assert content(target) == "two"


def test_file_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_text("mine")
    with pytest.raises(OutputExists):
        write(target, force=True)
    assert target.read_text() == "mine"


def test_home_and_folders_around_here_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "me").mkdir(parents=True)
    (home / "me" / "thesis").write_text("mine")
    monkeypatch.setenv("HOME", str(home / "me"))
    for target in (home / "me", home, "~", "/"):
        with pytest.raises(OutputExists):
            write(Path(target), force=True)
    work = tmp_path / "work"
    work.mkdir()
    (work / "file").write_text("mine")
    monkeypatch.chdir(work)
    with pytest.raises(OutputExists):
        write(Path("."), force=True)
    assert (work / "file").read_text() == "mine"


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt(), ValueError()])
@pytest.mark.parametrize("existing", [False, True])
def test_failure_while_building_leaves_what_was_there(
    error: BaseException, existing: bool, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    if existing:
        write(target)

    def fail() -> None:
        with atomic_folder(target) as folder:
            (folder / "half").write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    if existing:
        assert content(target) == "one"
        only_child(target)
    else:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [1, 2])
def test_failure_while_renaming_leaves_what_was_there(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    write(target)
    calls = 0
    rename = os.rename

    def failing(old: Path, new: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        rename(old, new)

    monkeypatch.setattr(folder_module.os, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        write(target, "two")
    assert content(target) == "one"
    assert is_ours(target)
    only_child(target)


def test_change_made_while_building_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write(target)

    def race() -> None:
        with atomic_folder(target) as folder:
            (folder / "new").write_text("new")
            (target / "notes.txt").write_text("mine")

    with pytest.raises(OutputExists):
        race()
    assert (target / "notes.txt").read_text() == "mine"


def test_symlink_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == "one"


@pytest.mark.parametrize("name", ["file", None])
def test_a_full_disk_names_the_folder_asked_for(tmp_path: Path, name: str | None) -> None:
    target = tmp_path / "out"
    with pytest.raises(OSError, match="No space left") as caught, atomic_folder(target) as folder:
        raise OSError(errno.ENOSPC, "No space left on device", name and str(folder / name))
    assert caught.value.filename == str(target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["file", None])
def test_a_full_disk_names_the_archive_asked_for(tmp_path: Path, name: str | None) -> None:
    target = tmp_path / "out.zip"
    with pytest.raises(OSError, match="No space left") as caught, atomic_archive(target) as folder:
        raise OSError(errno.ENOSPC, "No space left on device", name and str(folder / name))
    assert caught.value.filename == str(target)
    assert not list(tmp_path.iterdir())


def test_an_archive_is_not_left_half_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.zip"
    target.write_bytes(b"mine")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def pack() -> None:
        with atomic_archive(target, force=True) as folder:
            (folder / "a").write_text("a")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left") as caught:
        pack()
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"mine"
    only_child(target)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_file_is_whole_or_what_it_was(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "data.c"
    write_file(target, "one")
    assert target.stat().st_mode & 0o777 == 0o666 & ~folder_module.mask()

    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(folder_module.os, "replace", failing)
    with pytest.raises(type(error)):
        write_file(target, "two")
    assert target.read_text() == "one"
    only_child(target)


def test_an_error_elsewhere_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_folder(tmp_path / "out"):
        (tmp_path / "absent").read_bytes()
    assert caught.value.filename == str(tmp_path / "absent")


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    write(tmp_path / "out")
    assert content(tmp_path / "out") == "one"
