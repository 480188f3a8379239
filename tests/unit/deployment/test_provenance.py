"""Provenance that is verified: each link holds, and each is found when it is broken on purpose."""

import json
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import pytest

from churn.cli.main import main as churn
from churn.deployment import provenance
from churn.deployment.canary import Answer
from churn.deployment.local import LocalReleases
from churn.deployment.outcome import Outcome, write_outcome
from churn.deployment.provenance import Recorded, Registered, records_of, trace
from churn.platform import storage
from churn.platform.files import read_json, seal, write_json
from tests.models import make

IMAGE = f"host/churn-train@sha256:{'a' * 64}"


def git(folder, *words):
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


class Story:
    """A release that is live, what its run left, and a repository."""

    def __init__(self, root, checkout):
        self.checkout = checkout
        self.source = root / "log.csv"
        self.source.write_text("rows\n")
        self.commit = git(checkout, "rev-parse", "HEAD")
        self.data = storage.fingerprint(str(self.source))
        made = make(root, 1)
        made.facts["provenance"] |= {"git_commit": self.commit, "data_fingerprint": self.data}
        self.store = LocalReleases(root / "releases", "shop-30d")
        self.name = made.put(self.store)
        self.store.promote(self.name, expected="", by="run-1")
        self.model = made.facts["model_sha256"]
        sources = (str(self.source), "")
        self.record = Recorded("its summary", "training sha256:1", self.commit, self.model, self.data, (IMAGE,), sources)
        self.registered = Registered("3", {"release": self.name, "commit": self.commit[:12], "model_sha256": self.model[:63]})
        self.answer = Answer(self.name, tuple(read_json(made.probe)["probabilities"]))

    def facts(self, **changed):
        """Facts of the release changed after the fact, under a seal of their own."""
        folder = self.store.folder / self.name
        facts = read_json(folder / "release.json")
        facts |= {name: value for name, value in changed.items() if name in facts}
        facts["provenance"] |= {name: value for name, value in changed.items() if name in facts["provenance"]}
        write_json(folder / "release.json", facts)
        seal(folder)

    def trace(self, records=None):
        @contextmanager
        def endpoint():
            yield lambda _: self.answer

        self.store.endpoint = endpoint
        found = [self.record] if records is None else records
        return {link.name: link for link in trace(self.store, self.name, found, self.registered, self.checkout)}


@pytest.fixture
def story(tmp_path, checkout):
    return Story(tmp_path, checkout)


def broken(links):
    return {name: link.words for name, link in links.items() if not link.holds}


def test_every_link_of_a_whole_release_holds(story):
    links = story.trace()
    assert broken(links) == {}
    assert list(links) == ["release", "run", "spec", "image", "commit", "data", "source", "model", "registry", "endpoint"]
    assert links["endpoint"].line == f"✓ endpoint  {story.name} gives 12 rows of known score their score"


def break_manifest(story):
    (story.store.folder / story.name / "probe.json").write_text("{}")


def break_model(story):
    """Another model under the seals of the first."""
    folder = story.store.folder / story.name
    (folder / "model" / "model.ubj").write_bytes(b"another")
    seal(folder / "model")
    seal(folder)


def forge_the_name(story):
    story.facts(model_sha256="f" * 64)


def break_commit(story):
    story.facts(git_commit="0" * 40)
    story.record = replace(story.record, commit="0" * 40)


def dirty(story):
    story.facts(git_commit=f"{story.commit}-dirty")


def no_commit(story):
    story.facts(git_commit="")
    story.record = replace(story.record, commit="")


def no_repository_name(story):
    story.facts(git_commit="--help")
    story.record = replace(story.record, commit="")


BREAKS = [
    (break_manifest, "release", "is not what was written"),
    (break_model, "model", "and the release"),
    (forge_the_name, "model", "says ffff"),
    (break_commit, "commit", "is not in the repository"),
    (no_repository_name, "commit", "is not in the repository"),
    (dirty, "commit", "made from files that no commit has"),
    (no_commit, "commit", "outside of a git repository"),
    (lambda s: setattr(s, "record", replace(s.record, commit="b" * 40)), "commit", "its run bbbb"),
    (lambda s: setattr(s, "record", replace(s.record, model="b" * 64)), "model", "the run trained bbbb"),
    (lambda s: setattr(s, "record", replace(s.record, data="sha256:other")), "data", "its run sha256:other"),
    (lambda s: s.facts(data_fingerprint=""), "data", "the release says nothing, its run sha256:"),
    (lambda s: setattr(s, "record", replace(s.record, spec="")), "spec", "does not say which it ran"),
    (lambda s: setattr(s, "record", replace(s.record, images=())), "image", "does not say in which"),
    (lambda s: setattr(s, "registered", Registered("")), "registry", "has no version"),
    (lambda s: setattr(s, "registered", Registered("3", {"release": "r-x"})), "registry", "release is r-x, not"),
    (lambda s: setattr(s, "registered", Registered("3", {"commit": "badbad"})), "registry", "commit is badbad, not"),
    (lambda s: setattr(s, "registered", Registered("3", {"model_sha256": "f"})), "registry", "model_sha256 is f, not"),
    (lambda s: setattr(s, "answer", replace(s.answer, release="r-other")), "endpoint", "answers as r-other"),
    (lambda s: setattr(s, "answer", Answer("", error="503")), "endpoint", "does not answer: 503"),
    (lambda s: setattr(s, "answer", replace(s.answer, probabilities=(0.5,) * 12)), "endpoint", "answers otherwise than"),
    (lambda s: setattr(s, "answer", replace(s.answer, probabilities=s.answer.probabilities[:5])), "endpoint", "answers otherwise"),
]


@pytest.mark.parametrize(("break_it", "link", "says"), BREAKS, ids=[f"{link}-{n}" for n, (_, link, _) in enumerate(BREAKS)])
def test_a_link_broken_on_purpose_is_found(story, break_it, link, says):
    break_it(story)
    said = broken(story.trace())
    assert says in said.get(link, ""), said


def test_a_run_that_left_nothing_is_found(story):
    assert {"run", "spec", "image"} <= set(broken(story.trace([])))


def test_on_vertex_an_image_by_tag_may_have_moved(story):
    story.store.target = "vertex"
    story.record = replace(story.record, images=("host/churn-train:1",))
    assert "named by a tag, which can be moved" in broken(story.trace())["image"]


def test_new_rows_are_said_and_break_nothing(story):
    story.source.write_text("rows\nmore rows\n")
    links = story.trace()
    assert broken(links) == {}
    assert "has moved on: it holds sha256:" in links["source"].words
    story.source.unlink()
    assert "is gone since" in story.trace()["source"].words


def test_a_release_that_is_not_live_answers_nobody_and_is_whole(story, tmp_path):
    other = make(tmp_path, 2).put(story.store)
    story.store.promote(other, expected=story.name, by="run-2")
    links = story.trace()
    assert broken(links) == {}
    assert links["endpoint"].words == f"{other} is live: this release answers nobody"


def test_without_a_repository_or_with_little_of_it_the_commit_is_believed(story, tmp_path):
    story.checkout = tmp_path / "nowhere"
    assert "no repository here" in story.trace()["commit"].words
    git(tmp_path / "checkout", "commit", "-q", "--allow-empty", "-m", "two")
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{tmp_path / 'checkout'}", str(shallow)], check=True)
    story.checkout = shallow
    assert broken(story.trace()) == {}


def test_what_the_run_left_is_read(tmp_path):
    facts = {"provenance": {"run": "run-1"}}
    assert records_of(facts, str(tmp_path / "root"), tmp_path / "runs") == []
    write_outcome(
        str(tmp_path / "root"),
        Outcome("run-1", "succeeded", data={"source": "x", "fingerprint": "f"}, provenance={"model_sha256": "m", "git_commit": "c"}),
    )
    summary = {
        "pipeline": "training",
        "parameters": {"source": "x", "tickets_source": "t"},
        "provenance": {"git_commit": "c", "spec_sha256": "s", "image": "a, b", "data_fingerprint": "f", "model_sha256": "m"},
    }
    write_json(tmp_path / "runs" / "run-1" / "summary.json", summary)
    assert records_of(facts, str(tmp_path / "root"), tmp_path / "runs") == [
        Recorded("its summary", "training sha256:s", "c", "m", "f", ("a", "b"), ("x", "t")),
        Recorded("its outcome", commit="c", model="m", data="f", sources=("x", "")),
    ]


def test_the_command_says_each_link_and_fails_where_one_does_not_hold(tmp_path, monkeypatch, capsys, checkout):
    monkeypatch.setenv("CHURN_WORKSPACE", str(tmp_path))
    story = Story(tmp_path, checkout)
    summary = {
        "pipeline": "training",
        "parameters": {"source": str(story.source)},
        "provenance": {"git_commit": story.commit, "spec_sha256": "s", "image": "src-1", "data_fingerprint": story.data},
    }
    write_json(tmp_path / "runs" / "run-1" / "summary.json", summary)
    monkeypatch.setattr("churn.cli.provenance.CHECKOUT", checkout)
    assert churn(["provenance"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "shop-30d on local:"
    assert all(line.startswith("  ✓ ") for line in said[1:])
    assert f"endpoint  {story.name} gives 12 rows" in said[-1]  # by the real server
    story.facts(git_commit="0" * 40)
    assert churn(["provenance", story.name, "--line", "shop-30d"]) == 1
    assert "  ✗ commit" in capsys.readouterr().out
    assert churn(["provenance", "r-nothing"]) == 2
    assert json.dumps(capsys.readouterr().err).count("\\n") == 1


def test_a_registry_that_is_not_there_is_not_made_by_looking(tmp_path, monkeypatch, checkout, capsys):
    monkeypatch.setenv("CHURN_WORKSPACE", str(tmp_path))
    monkeypatch.setattr(provenance, "trace", lambda *_: [])
    Story(tmp_path, checkout)
    assert churn(["provenance"]) == 0
    assert not (tmp_path / "mlruns").exists()
