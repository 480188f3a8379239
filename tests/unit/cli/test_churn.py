"""The command churn."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from churn.cli import ui
from churn.cli.main import main
from churn.cli.serve import choose_line
from churn.deployment.local import LocalReleases, lines
from churn.platform.errors import ConfigError, StateError
from tests.pipelines.conftest import shop_dataset, shop_log
from tests.unit.deployment.made import store_with

LIST = ["release", "list"]


@pytest.fixture
def shop(workspace):
    """A line with three releases, the last of which is live."""
    store, names = store_with(workspace, "a", "b", "c")
    for name, before in zip(names, ["", *names], strict=False):
        store.promote(name, expected=before, by=f"run-of-{name}")
    return store, names


@pytest.fixture
def marked(monkeypatch):
    """What the registry was told is live; its own tests have the rest."""
    told = []
    monkeypatch.setattr(
        "churn.registry.versions.mark_live", lambda uri, *, line, model_sha256: told.append((line, model_sha256.strip("0")))
    )
    return told


def said(capsys, arguments: list[str], status: int) -> str:
    """The one line on standard error."""
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.strip()


@pytest.mark.parametrize(
    "arguments", [["nonsense"], [], ["release"], ["release", "remove"], ["data", "fetch", "unknown"], ["serve", "--port", "x"]]
)
def test_a_wrong_call_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: churn" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["data", "serve", "release", "ui"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage: churn {command}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["serve"], LIST, ["release", "rollback"], ["release", "promote", "r-a"]])
def test_with_nothing_live_it_is_one_line(workspace, capsys, arguments):
    assert (
        said(capsys, arguments, 1)
        == f"churn {arguments[0]}: nothing is live yet under {workspace / 'releases'}; make run, or submit, brings a model there"
    )


def test_the_list_marks_what_is_live_and_says_what_went_live_when(shop, capsys):
    assert main(LIST) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shop-30d:"
    assert [line.split()[0] for line in lines[1:4]] == [*shop[1][:2], "*"]
    assert "auc_pr 0.8000  run run-of-c" in lines[3]
    assert [line.split()[1:3] for line in lines[4:]] == [["promote", name] for name in shop[1]]


def test_the_list_is_there_when_a_release_is_damaged(shop, capsys):
    store, (_, b, _) = shop
    (store.folder / b / "release.json").write_text("")
    assert main(LIST) == 0
    damaged = capsys.readouterr().out.splitlines()[2]
    assert damaged.startswith(f"    {b}  damaged: ")
    assert "release.json is not what was written" in damaged


def test_promote_and_rollback_move_what_is_live_and_tell_the_registry(shop, marked, capsys):
    store, (a, b, c) = shop
    assert main(["release", "promote", a]) == 0
    assert main(["release", "promote", a]) == 0
    assert main(["release", "rollback"]) == 0
    assert main(["release", "rollback"]) == 0
    assert main(["release", "rollback", "--to", b]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"shop-30d: {a} is live",
        f"shop-30d: {a} is live already",
        f"shop-30d: {c} is live again (was {a})",
        f"shop-30d: {b} is live again (was {c})",
        f"shop-30d: {b} is live already",
    ]
    assert marked == [("shop-30d", name) for name in "aacbb"]
    assert store.live_name() == b
    assert store.history()[-1]["by"].startswith("churn release rollback (")


def test_what_cannot_be_done_is_one_line(shop, capsys, marked):
    store, (a, _, c) = shop
    assert said(capsys, ["release", "promote", "r-x"], 2).startswith("churn release: no release 'r-x' in the line shop-30d; there are: ")
    assert said(capsys, [*LIST, "--line", "other"], 2) == "churn release: nothing is live in a line 'other'; there are: shop-30d"
    (store.folder / a / "probe.json").write_text("")
    assert "probe.json is not what was written" in said(capsys, ["release", "rollback", "--to", a], 1)
    assert (store.live_name(), marked) == (c, [])


def test_a_live_release_that_was_deleted_can_be_gone_back_on(shop, capsys, marked):
    store, (_, b, c) = shop
    shutil.rmtree(store.folder / c)
    assert "MANIFEST.json is missing" in said_after_listening(capsys)
    assert main(["release", "rollback"]) == 0
    assert store.live_name() == b


def said_after_listening(capsys) -> str:
    assert main(["serve", "--port", "0"]) == 1
    return capsys.readouterr().err


def test_the_line_that_is_meant(shop):
    store, names = shop
    root = str(store.folder.parent)
    assert choose_line(lines(root), None, root) == choose_line(lines(root), "shop-30d", root) == "shop-30d"
    shutil.copytree(store.folder, store.folder.with_name("other-60d"), symlinks=True)
    assert choose_line(lines(root), "other-60d", root) == "other-60d"
    with pytest.raises(ConfigError, match="several release lines have something live: other-60d, shop-30d; say which with --line"):
        choose_line(lines(root), None, root)
    with pytest.raises(StateError, match="nothing is live yet"):
        choose_line([], None, root)
    assert LocalReleases(root, "other-60d").live_name() == names[2]


def test_data_check_says_what_a_log_holds_and_its_windows(tmp_path, capsys):
    dataset = shop_dataset(tmp_path, shop_log(tmp_path / "log.csv", customers=60))
    with (tmp_path / "log.csv").open("a") as log:
        log.write("C1,no day,5\n")
    assert main(["data", "check", str(dataset), "--rejects", str(tmp_path / "rejects.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    counts = dict(line.split() for line in lines if len(line.split()) == 2)
    assert (counts["rejected_rows"], counts["customers"]) == ("1", "60")
    windows = {line.split()[0]: line.split()[1:] for line in lines[-3:]}
    assert list(windows) == ["train", "validation", "test"]
    assert windows["test"] == ["2023-12-01,", "2024-01-01"]
    assert "no day" in (tmp_path / "rejects.csv").read_text()


@pytest.mark.parametrize(
    ("change", "arguments", "status", "message"),
    [
        ("", ["--source", "none.csv"], 1, "none.csv: no such file"),
        ("churn:\n  horizon: 30\n", [], 2, "shop.yaml over configs/churn.yaml: horizon is not a setting here"),
        ("churn:\n  horizon_days: 300\n", [], 1, "the log is too short"),
    ],
)
def test_data_that_cannot_be_used_are_one_line(tmp_path, capsys, change, arguments, status, message):
    shop_log(tmp_path / "log.csv", customers=20)
    columns = json.dumps({"customer_id": "who", "event_timestamp": "at", "amount": "paid"})
    (tmp_path / "shop.yaml").write_text(f"name: shop\nsource: log.csv\ncolumns: {columns}\n{change}")
    assert main(["data", "check", str(tmp_path / "shop.yaml"), *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_ui_with_nothing_tracked_is_one_line(workspace, capsys, monkeypatch):
    monkeypatch.setattr(ui.subprocess, "run", None)
    assert said(capsys, ["ui"], 1) == "churn ui: no run is tracked yet; make run tracks one"


def test_the_console_script_is_installed():
    script = Path(sys.executable).with_name("churn")
    assert subprocess.run([str(script), "--help"], capture_output=True, text=True, check=True).stdout.startswith("usage: churn")
