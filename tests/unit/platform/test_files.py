"""Files that are whole or not there, seals, and locks that the kernel frees."""

import json
import os
import signal
import subprocess
import sys

import pytest

from churn.platform.errors import ChurnError, IntegrityError
from churn.platform.files import (
    SEAL,
    check_seal,
    is_locked,
    locked,
    read_json,
    replace_link,
    seal,
    sha256_json,
    whole_folder,
    write_json,
    write_whole,
)


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **options)


def test_a_message_is_one_line():
    assert str(ChurnError("not YAML:\n  line 1\n  line 2")) == "not YAML: line 1 line 2"


def test_a_write_that_fails_leaves_the_old_content_and_nothing_beside(tmp_path, monkeypatch):
    path = tmp_path / "facts.json"
    write_json(path, {"old": True})

    def full(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_json(path, {"new": True})
    assert read_json(path) == {"old": True}
    assert [each.name for each in tmp_path.iterdir()] == ["facts.json"]


def test_a_writer_killed_midway_leaves_the_old_content(tmp_path):
    path = tmp_path / "facts.json"
    write_whole(path, "old")
    killed = (
        "import os, signal, sys\n"
        "from churn.platform import files\n"
        "files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_whole(sys.argv[1], 'new' * 100_000)"
    )
    assert python(killed, path).wait() == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_json_is_refused(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "metrics.json", {"auc_pr": value})
    with pytest.raises(ValueError, match="JSON"):
        sha256_json(value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), ("", "is not JSON"), ('{"a": 1', "is not JSON")])
def test_json_that_is_missing_or_cut_off(tmp_path, content, message):
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    with pytest.raises(IntegrityError, match=message):
        read_json(tmp_path / "x.json")


@pytest.fixture
def sealed(tmp_path):
    folder = tmp_path / "sealed"
    write_whole(folder / "a.txt", "a")
    write_whole(folder / "inner" / "b.txt", "b")
    seal(folder)
    return folder


def test_the_hash_of_a_folder_is_of_its_content_not_its_place(sealed, tmp_path):
    other = tmp_path / "elsewhere"
    write_whole(other / "inner" / "b.txt", "b")
    write_whole(other / "a.txt", "a")
    assert check_seal(sealed) == seal(other)
    write_whole(other / "a.txt", "other")
    assert check_seal(sealed) != seal(other)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "a.txt").unlink(), "a.txt is missing"),
        (lambda folder: (folder / "more.txt").touch(), "more.txt is not in its manifest"),
        (lambda folder: (folder / "inner" / "b.txt").write_text("c"), "inner/b.txt is not what was written"),
        (lambda folder: (folder / "inner" / "b.txt").write_text(""), "inner/b.txt is not what was written"),
        (lambda folder: (folder / SEAL).unlink(), f"{SEAL} is missing"),
        (lambda folder: (folder / SEAL).write_text(""), f"{SEAL} is not JSON"),
        (lambda folder: (folder / SEAL).write_text("null"), f"{SEAL} is not a manifest"),
    ],
)
def test_a_folder_that_is_not_what_was_sealed(sealed, harm, message):
    harm(sealed)
    with pytest.raises(IntegrityError, match=message):
        check_seal(sealed)


def test_a_whole_folder_is_sealed_and_nothing_stays_beside_it(tmp_path):
    with whole_folder(tmp_path / "release") as folder:
        write_whole(folder / "inner" / "a.txt", "a")
        assert not (tmp_path / "release").exists()
    assert check_seal(tmp_path / "release")
    assert [each.name for each in tmp_path.iterdir()] == ["release"]


def test_an_error_inside_a_whole_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "release") as folder:
        (folder / "half.txt").touch()
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_every_file_and_every_folder_of_a_whole_folder_is_synced_before_it_is_in_its_place(tmp_path, monkeypatch):
    synced, fsync = set(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.add(os.fstat(handle).st_ino), fsync(handle)))
    with whole_folder(tmp_path / "release") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text("a")
    release = tmp_path / "release"
    assert {path.stat().st_ino for path in (release, *release.rglob("*"), tmp_path)} <= synced


def test_a_link_is_never_absent_while_it_moves(tmp_path, monkeypatch):
    link, replace, seen = tmp_path / "live", os.replace, []
    replace_link(link, "a")

    def watched(source, target):
        seen.append(str(link.readlink()))
        replace(source, target)
        seen.append(str(link.readlink()))

    monkeypatch.setattr(os, "replace", watched)
    replace_link(link, "b")
    assert seen == ["a", "b"]
    assert [each.name for each in tmp_path.iterdir()] == ["live"]


def test_a_link_left_half_made_by_a_killed_process_of_the_same_number_is_no_obstacle(tmp_path):
    (tmp_path / f".live.{os.getpid()}").symlink_to("other")
    replace_link(tmp_path / "live", "a")
    assert str((tmp_path / "live").readlink()) == "a"


def test_a_lock_is_seen_by_others_and_freed_by_the_kernel(tmp_path):
    lock = tmp_path / "made" / ".lock"
    assert not is_locked(lock)
    hold = "import sys\nfrom churn.platform.files import locked\nwith locked(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()"
    holder = python(hold, lock, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    assert is_locked(lock)
    holder.kill()
    holder.communicate()
    assert not is_locked(lock)
    with locked(lock):
        assert is_locked(lock)
    assert not is_locked(lock)


def test_who_waits_for_a_lock_goes_on_when_it_is_free(tmp_path):
    take = "import sys\nfrom churn.platform.files import locked\nwith locked(sys.argv[1]):\n    print('mine')"
    with locked(tmp_path / ".lock"):
        waiting = python(take, tmp_path / ".lock", stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.4)
    assert waiting.communicate()[0] == "mine\n"


def test_json_is_written_as_people_read_it(tmp_path):
    write_json(tmp_path / "x.json", {"shop": "Zürich"})
    assert "Zürich" in (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"shop": "Zürich"}
