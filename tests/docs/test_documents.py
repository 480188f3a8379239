"""Links that lead somewhere, targets and flags that are there, figures with a date or a command; each check shown its fault."""

import pytest

from churn.platform.settings import CHECKOUT
from tests.ci.cloudbuild import targets
from tests.docs.documents import DOCUMENTS, links, made, undated, wrong_commands

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(CHECKOUT)) for path in DOCUMENTS])


@each_document
def test_every_link_leads_somewhere(path):
    assert [link for link in links(path.read_text()) if not (path.parent / link).exists()] == []


@each_document
def test_every_target_that_is_told_is_there(path):
    assert made(path.read_text()) - targets() == set()


@each_document
def test_every_command_and_flag_that_is_told_is_there(path):
    assert list(wrong_commands(path.read_text())) == []


@each_document
def test_every_measured_figure_has_a_date_or_its_command(path):
    assert list(undated(path.read_text())) == []


def test_what_these_checks_see():
    assert "README.md" in {path.name for path in DOCUMENTS}
    assert {"run", "test", "ui"} <= made((CHECKOUT / "README.md").read_text())
    assert links("[a](docs/a.md#x), [b](https://b), [c](#c), `[d](d)`\n```\n[e](e.md)\n```\n")[0] == "docs/a.md"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```sh\nmake nothing   # a word\n```\n", {"nothing"}),
        ("Say `make COMMIT=1 ci-nothing`.", {"ci-nothing"}),
        ("It will make nothing worse.", set()),
    ],
)
def test_a_target_that_is_not_there_is_seen(text, says):
    assert made(text) - targets() == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("`submit --waits`", "has no --waits"),
        ("`churn relaese list`", "churn has no relaese"),
        ("`churn release lst`", "churn release has no lst"),
        ("```sh\nchurn release list --canary\n```\n", "has no --canary"),
        ("`python compile.py --tag 1`", "has no --tag"),
        ("`churn serve &`, `submit --param seed=11 && churn release list --target vertex`", ""),
    ],
)
def test_a_command_that_is_not_there_is_seen(text, says):
    assert [line.partition(": ")[2] for line in wrong_commands(text)] == ([says] if says else [])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("# A\nIt takes 60 s.\n", True),
        ("# A\nAn auc_pr of 0.7607 is good.\n", True),
        ("# A\nIt takes 60 s (2026-11-24).\n# B\nIt takes 7 s.\n", True),
        ("# A\nIt takes 60 s (2026-11-24).\n", False),
        ("# A\nIt takes 60 s, as `make bench` says.\n", False),
        ("# A\n```\nit took 60 s\n```\n", False),
    ],
)
def test_a_figure_that_nobody_dated_is_seen(text, seen):
    assert bool(list(undated(text))) is seen
