"""kill -9 of the parent at any moment, then run again: nothing half-written is read, what was live stays live, no late step overwrites a later run."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from churn.deployment.local import LocalReleases
from tests.pipelines.conftest import QUICK, make_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    import compile as compile_command

    root = tmp_path_factory.mktemp("killed")
    assert compile_command.main(["--out", str(root)]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURN_WORKSPACE", str(root))
        yield make_shop(root, root / "training.yaml")


def start(shop, *params: str, spec: Path | None = None) -> subprocess.Popen:
    given = [f"dataset={shop.dataset}", "min_auc_pr=0.1", "min_gain=-1", *QUICK, *params]
    command = [
        sys.executable,
        "-m",
        "pipelines.submit.main",
        str(spec or shop.spec),
        *(word for each in given for word in ("--param", each)),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def steps_of(run: str) -> list[int]:
    """The processes of a run's steps that live on."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if run.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for_orphans(run: str) -> None:
    while steps_of(run):
        time.sleep(0.05)


def live(shop) -> str:
    return LocalReleases(shop.root / "releases", "shop-30d").live_name()


def test_a_promotion_orphaned_by_kill_9_does_not_overwrite_a_later_run(shop):
    shop.run("min_auc_pr=0.1")
    # The promotion of the killed run has begun, is held back until a later run has ended, and then goes on.
    begun, go = shop.root / "begun", shop.root / "go"
    wait = f"import pathlib, time\n    pathlib.Path({str(begun)!r}).touch()\n    while not pathlib.Path({str(go)!r}).exists():\n        time.sleep(0.05)\n"
    process = start(shop, "seed=21", spec=shop.altered("late", ("moved = promote_release(", f"{wait}    moved = promote_release(")))
    while not begun.exists():
        assert process.poll() is None, "the run ended before its promotion began"
        time.sleep(0.05)
    process.kill()
    process.wait()
    run = (shop.root / "runs" / "latest").readlink().name
    assert steps_of(run)
    killed = json.loads((shop.root / "runs" / run / "summary.json").read_text())
    assert (killed["status"], killed["deployment"]["deployed"]) == ("failed", False)
    later = shop.run("min_auc_pr=0.1", "min_gain=-1", "seed=22")
    assert live(shop) == later["deployment"]["live"]
    go.touch()
    wait_for_orphans(run)
    assert live(shop) == later["deployment"]["live"]


@pytest.mark.parametrize("seed", range(31, 34))
def test_killed_at_a_random_moment_and_run_again(shop, seed):
    before = live(shop)
    process = start(shop, f"seed={seed}")
    time.sleep(random.Random(seed).uniform(0.5, 9))
    process.kill()  # the parent alone: a step that is under way goes on by itself
    process.wait()
    run = (shop.root / "runs" / "latest").readlink().name
    json.loads((shop.root / "runs" / run / "summary.json").read_text())
    store = LocalReleases(shop.root / "releases", "shop-30d")
    assert store.live() is not None  # whole: its hashes were checked
    again = shop.run("min_auc_pr=0.1", "min_gain=-1", f"seed={seed}")
    wait_for_orphans(run)
    assert live(shop) == again["deployment"]["live"]
    assert store.live() is not None
    assert before in store.names()
    leftovers = [path for path in store.folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    assert len(leftovers) <= 1  # at most what the killed run was writing beside; nobody reads it
