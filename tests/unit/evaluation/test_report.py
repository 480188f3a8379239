"""The report: one page, whole, with its pictures, for every kind of run."""

import html
import re

import pytest

from churn.evaluation.evaluate import evaluate
from churn.evaluation.judge import Champion
from churn.evaluation.judgement import VERDICT, judge_and_report
from churn.evaluation.policy import GatePolicy
from churn.platform.files import check_seal, read_json
from tests.unit.training.tables import make_model, make_tables, rows_of, write_table

PLOTS = ["calibration.svg", "importance.svg", "precision-recall.svg", "scores.svg"]


def headings(page: str) -> list[str]:
    """The headings of a page that closes every tag it opens."""
    page = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    still_open = []
    for closing, tag in re.findall(r"<(/?)(\w+)", page):
        if closing:
            assert still_open.pop() == tag
        elif tag != "meta":
            still_open.append(tag)
    assert still_open == []
    return [html.unescape(each) for each in re.findall(r"<h[12]>(.*?)</h[12]>", page)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("reported")
    make_tables(root)
    make_model(root)
    make_model(root, name="champion", seed=8)
    evaluate(root / "model", root / "test", root / "evaluation", rounds=20, seed=7)
    return root


def report(root, out, *, champion: Champion | None = None, min_auc_pr: float = 0.1, line: str = "shop-30d", **places):
    folders = {"model_folder": root / "model", "evaluation_folder": root / "evaluation", "test_folder": root / "test"} | places
    policy = GatePolicy(min_auc_pr=min_auc_pr, min_gain=-1.0, replace_champion=False)
    facts = {"release line": line, "run": "run-1"}
    verdict = judge_and_report(
        **folders,
        model_sha256="new",
        champion=champion or Champion(),
        policy=policy,
        rounds=20,
        facts=facts,
        data={"rows": 5},
        provenance={"git_commit": "abc"},
        page=out / "page",
        out=out / "judgement",
    )
    return verdict, (out / "page").read_text()


def test_the_page_has_every_section_and_picture(root, tmp_path):
    verdict, page = report(root, tmp_path, champion=Champion(str(root / "champion"), "r-old", "0ld"))
    expected = ["On the untouched test window", "Pictures", "By snapshot", "By segment", "Where it comes from"]
    assert headings(page) == ["Churn model, shop-30d", *expected]
    assert page.count("<svg") == len(PLOTS)
    assert "The gate is open." in page
    for words in (
        "the champion on the same rows",
        "challenger − champion",
        "recency alone on the same rows",
        "base rate",
        "r-old",
        "run-1",
    ):
        assert words in page
    assert check_seal(tmp_path / "judgement")
    assert sorted(path.name for path in (tmp_path / "judgement" / "plots").iterdir()) == PLOTS
    assert read_json(tmp_path / "judgement" / VERDICT)["reasons"] == verdict.reasons


def test_the_champion_is_drawn_where_there_is_one(root, tmp_path):
    without = report(root, tmp_path / "without")[1]
    live = report(root, tmp_path / "with", champion=Champion(str(root / "champion"), "r-old", "0ld"))[1]
    assert "<!-- champion -->" in live
    assert "<!-- champion -->" not in without
    assert "challenger − champion" not in without


def test_the_same_figures_give_the_same_bytes(root, tmp_path):
    assert report(root, tmp_path / "a")[1] == report(root, tmp_path / "b")[1]


def test_a_closed_gate(root, tmp_path):
    page = report(root, tmp_path, min_auc_pr=1.0)[1]
    assert "The gate is closed." in page
    assert "is below the threshold 1" in page


def test_what_others_wrote_is_escaped(root, tmp_path):
    damage = "<script>alert('damage')</script>"
    page = report(root, tmp_path, champion=Champion("", "r-<b>", "0ld", damage), line="<i>line</i>")[1]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "r-&lt;b&gt;" in page
    assert "<i>line" not in page
    assert headings(page)[0] == "Churn model, <i>line</i>"


@pytest.mark.parametrize("rows", [rows_of(customers=20).head(0), rows_of(customers=20).assign(churned=0)], ids=["nobody", "one class"])
def test_an_evaluation_that_is_undefined_has_a_page_without_pictures(root, tmp_path, rows):
    table = write_table(tmp_path / "table", rows)
    evaluate(root / "model", table, tmp_path / "evaluation", rounds=20, seed=7)
    champion = Champion(str(root / "champion"), "r-old", "0ld")
    verdict, page = report(root, tmp_path, champion=champion, test_folder=table, evaluation_folder=tmp_path / "evaluation")
    assert verdict.passed is False
    assert "The gate is closed." in page
    assert "undefined" in page
    assert "<svg" not in page
    assert headings(page)[0] == "Churn model, shop-30d"
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)
    assert [path.name for path in (tmp_path / "judgement").iterdir() if path.is_dir()] == []
