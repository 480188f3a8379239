"""Releases and what is live: idempotent, compare-and-swap, a stack to go back on, and whole after kill -9."""

import random
import signal
import subprocess
import sys
import time

import pytest

from churn.deployment.local import LocalReleases, lines
from churn.deployment.releases import FACTS, release_name
from churn.deployment.targets import releases
from churn.platform.errors import ConfigError, IntegrityError, StateError
from churn.platform.files import check_seal, is_locked, locked, read_json
from tests.unit.deployment.made import put, store_with


@pytest.fixture
def abc(tmp_path):
    """Three releases, went live in this order."""
    store, names = store_with(tmp_path, "a", "b", "c")
    for name, before in zip(names, ["", *names], strict=False):
        assert store.promote(name, expected=before, by=f"run-of-{name}") is True
    return store, names


def test_a_release_is_named_by_its_model_whole_and_sealed(tmp_path):
    store, (name,) = store_with(tmp_path, "a")
    assert name == release_name("a".ljust(64, "0")) == "r-a00000000000"
    release = store.get(name)
    assert check_seal(release.folder)
    assert (release.facts["line"], release.facts["release"]) == ("shop-30d", name)
    assert (release.model / "model.json").read_text() == "a"


def test_putting_it_again_finds_it_there(tmp_path):
    store, (name,) = store_with(tmp_path, "a")
    before = (store.folder / name / FACTS).stat()
    assert put(store, "a") == name
    assert (store.folder / name / FACTS).stat() == before
    assert store.names() == [name]


def test_a_damaged_release_is_laid_down_again_unless_it_is_live(tmp_path):
    store, (name,) = store_with(tmp_path, "a")
    model = store.folder / name / "model" / "model.json"
    model.write_text("")
    with pytest.raises(IntegrityError, match=r"model.json is not what was written"):
        store.get(name)
    put(store, "a")
    assert store.get(name)
    store.promote(name, expected="", by="me")
    model.write_text("")
    with pytest.raises(IntegrityError):
        put(store, "a")
    with pytest.raises(IntegrityError):
        store.live()
    assert model.read_text() == ""


def test_what_cannot_be_laid_down_leaves_nothing(tmp_path):
    store, _ = store_with(tmp_path)
    with pytest.raises(FileNotFoundError):
        store.put(tmp_path / "no model", tmp_path / "no probe", {"model_sha256": "d" * 64})
    assert [path.name for path in store.folder.iterdir()] == [".lock"]


def test_the_oldest_first(tmp_path):
    store, names = store_with(tmp_path, "c", "a", "b")
    assert store.names() == names


def test_nothing_is_live_at_first(tmp_path):
    store, (name,) = store_with(tmp_path, "a")
    assert (store.live_name(), store.live(), store.history(), lines(tmp_path / "releases")) == ("", None, [], [])
    with pytest.raises(StateError, match=r"nothing is live in the release line shop-30d .*make run"):
        store.live_model()
    with pytest.raises(StateError, match="nothing was live before nothing in shop-30d; name a release"):
        store.rollback(by="me")
    assert store.rollback(to=name, by="me") == ("", name)


def test_promoting_moves_what_is_live_and_says_who_did_it(abc):
    store, names = abc
    assert store.live().name == store.live_name() == names[2]
    assert store.live_model() == store.folder / names[2] / "model"
    assert [(each["action"], each["release"], each["by"]) for each in store.history()] == [
        ("promote", name, f"run-of-{name}") for name in names
    ]
    assert lines(store.folder.parent) == ["shop-30d"]


def test_what_is_live_already_is_found_so_whatever_was_expected(abc):
    store, names = abc
    assert store.promote(names[2], expected=names[2], by="me") is False
    assert store.promote(names[2], expected="", by="me") is False
    assert len(store.history()) == 3


@pytest.mark.parametrize(
    ("expected", "message"), [(0, "from r-a.* to r-c.* since this run looked; run again"), (None, "from nothing to r-c")]
)
def test_something_else_went_live_in_between(abc, expected, message):
    store, names = abc
    with pytest.raises(StateError, match=message):
        store.promote(names[1], expected="" if expected is None else names[expected], by="me")
    assert (store.live_name(), len(store.history())) == (names[2], 3)


@pytest.mark.parametrize("name", ["r-unknown", "live", ".lock", "", "..", "../other-30d/r-a00000000000", "history.json"])
def test_what_is_no_release_of_the_line_does_not_go_live(abc, name):
    store, names = abc
    put(LocalReleases(store.folder.parent, "other-30d"), "a")
    for move in (lambda: store.promote(name, expected=names[2], by="me"), lambda: store.rollback(to=name or "r-", by="me")):
        with pytest.raises(ConfigError, match=rf"no release .* in the line shop-30d; there are: {', '.join(names)}"):
            move()
    assert store.live_name() == names[2]


def test_a_damaged_release_does_not_go_live(abc):
    store, names = abc
    (store.folder / names[0] / "probe.json").unlink()
    for move in (lambda: store.promote(names[0], expected=names[2], by="me"), lambda: store.rollback(to=names[0], by="me")):
        with pytest.raises(IntegrityError, match=r"probe.json is missing"):
            move()
    assert store.live_name() == names[2]


def test_back_and_back_again_until_nothing_was_before(abc):
    store, (a, b, c) = abc
    assert store.rollback(by="me") == (c, b)
    assert store.rollback(by="me") == (b, a)
    with pytest.raises(StateError, match=rf"nothing was live before {a} in shop-30d; name a release: churn release rollback --to NAME"):
        store.rollback(by="me")
    assert store.live_name() == a
    assert [each["action"] for each in store.history()] == ["promote"] * 3 + ["rollback"] * 2


def test_back_to_a_named_release(abc):
    store, (a, b, c) = abc
    assert store.rollback(to=a, by="me") == (c, a)
    assert store.rollback(to=a, by="me") == (a, a)
    assert len(store.history()) == 4
    assert store.promote(c, expected=a, by="me") is True
    assert store.rollback(by="me") == (c, a)  # b was taken away with the way back over it
    with pytest.raises(StateError, match="nothing was live before"):
        store.rollback(by="me")
    assert b in store.names()


def test_back_over_a_release_that_was_live_twice(abc):
    store, (a, b, c) = abc
    store.promote(a, expected=c, by="me")
    store.promote(b, expected=a, by="me")
    assert [store.rollback(by="me")[1] for _ in range(4)] == [a, c, b, a]
    with pytest.raises(StateError, match="nothing was live before"):
        store.rollback(by="me")


def test_a_promotion_that_was_killed_before_it_was_written_down_can_be_gone_back_on(abc):
    store, (_, b, c) = abc
    (store.folder / "live").unlink()
    (store.folder / "live").symlink_to(b)
    assert store.rollback(by="me") == (b, c)  # history knows c as the last; the link is the truth


def test_a_line_whose_live_release_was_deleted_is_still_a_line(abc):
    import shutil

    store, (_, b, c) = abc
    shutil.rmtree(store.folder / c)
    assert lines(store.folder.parent) == ["shop-30d"]
    assert store.rollback(by="me") == (c, b)


def test_a_step_whose_run_has_ended_promotes_nothing(tmp_path, monkeypatch):
    store, (name,) = store_with(tmp_path, "a")
    monkeypatch.setenv("CHURN_RUN_LOCK", str(tmp_path / ".alive"))
    with pytest.raises(StateError, match="the run that this step belongs to has ended: nothing is promoted on its behalf"):
        store.promote(name, expected="", by="run")
    assert (store.live_name(), store.history()) == ("", [])
    with locked(tmp_path / ".alive"):
        assert store.promote(name, expected="", by="run") is True


@pytest.mark.parametrize(
    ("target", "line", "message"),
    [("mars", "shop-30d", "target 'mars'"), *(("local", name, "release line") for name in ("../shop", "a/b", "", "it's"))],
)
def test_a_target_or_a_line_that_cannot_be(tmp_path, target, line, message):
    with pytest.raises(ConfigError, match=message):
        releases(target, tmp_path, line)
    assert releases("local", tmp_path, "shop-30d").line == "shop-30d"


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **options)


def test_of_two_that_race_exactly_one_wins(tmp_path):
    rounds = 25
    for number in range(rounds):
        store = LocalReleases(tmp_path / "releases", f"line-{number}")
        put(store, "a")
        put(store, "b")
    race = (
        "import sys\nfrom churn.deployment.local import LocalReleases, StateError\n"
        "root, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])\n"
        "print('ready', flush=True)\nsys.stdin.readline()\n"
        "for number in range(rounds):\n"
        "    try:\n        print(LocalReleases(root, f'line-{number}').promote(name, expected='', by=name))\n"
        "    except StateError:\n        print('too late')"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    racers = [python(race, tmp_path / "releases", f"r-{name}00000000000", rounds, **pipes) for name in "ab"]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 2
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].split("\n")[:rounds] for racer in racers]
    for number, answers in enumerate(zip(*said, strict=True)):
        assert sorted(answers) == ["True", "too late"]
        store = LocalReleases(tmp_path / "releases", f"line-{number}")
        assert store.live_name() == ("r-a00000000000" if answers[0] == "True" else "r-b00000000000")
        assert len(store.history()) == 1


def test_killed_before_any_of_its_steps_a_promotion_has_happened_or_not(tmp_path):
    store, names = store_with(tmp_path, "a", "b")
    store.promote(names[0], expected="", by="first")
    # Kill -9 before the nth call that changes or syncs a file, for every n.
    promote = (
        "import os, signal, sys\nfrom churn.deployment.local import LocalReleases\n"
        "calls = iter(range(1, 1000))\n"
        "def counted(call):\n    def step(*given, **named):\n"
        "        if next(calls) == int(sys.argv[3]):\n            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return call(*given, **named)\n    return step\n"
        "for name in ('unlink', 'symlink', 'replace', 'rename', 'fsync', 'open'):\n    setattr(os, name, counted(getattr(os, name)))\n"
        "store = LocalReleases(sys.argv[1], 'shop-30d')\nstore.promote(sys.argv[2], expected=store.live_name(), by='killed')"
    )
    for step in range(1, 1000):
        before, after = store.live_name(), next(name for name in names if name != store.live_name())
        ended = python(promote, tmp_path / "releases", after, step).wait()
        assert store.live().name in {before, after}
        assert store.history()[0]["by"] == "first"
        assert not is_locked(store.folder / ".lock")
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert (step > 5, store.live_name()) == (True, after)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_what_is_live_is_whole(tmp_path, seed):
    store, names = store_with(tmp_path, "a", "b")
    store.promote(names[0], expected="", by="first")
    move = (
        "import sys\nfrom churn.deployment.local import LocalReleases\n"
        "store = LocalReleases(sys.argv[1], 'shop-30d')\nprint('moving', flush=True)\n"
        "while True:\n    for name in sys.argv[2:]:\n        store.promote(name, expected=store.live_name(), by='loop')\n    store.rollback(by='loop')"
    )
    mover = python(move, tmp_path / "releases", *names, stdout=subprocess.PIPE)
    mover.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.005, 0.1))
    mover.send_signal(signal.SIGKILL)
    mover.communicate()
    assert store.live().name in names
    assert store.history()[0]["by"] == "first"
    assert not is_locked(store.folder / ".lock")
    other = next(name for name in names if name != store.live_name())
    assert store.promote(other, expected=store.live_name(), by="after") is True
    assert read_json(store.folder / "history.json")[-1]["by"] == "after"
    assert store.live_name() == other
