"""A compiled spec, read as data, and the hashes of the code behind it."""

import pytest
import yaml

from churn.platform.errors import ConfigError
from churn.platform.settings import CHECKOUT
from pipelines.code import git_commit, image_hash, spec_hash
from pipelines.submit.spec import Spec
from tests.pipelines.golden import GOLDEN

TEXT = (GOLDEN / "training.yaml").read_text()


def spec(text: str = TEXT) -> Spec:
    return Spec("training", text)


@pytest.mark.parametrize(
    "content", ["", "[]", "text", "a: b", "a: [", "root: null", "root: {}\ndeploymentSpec: {}", "---\na: 1\n---\nb: 2", "\x00"]
)
def test_a_file_that_is_no_spec_is_one_line_with_what_to_do(tmp_path, content):
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"x.yaml is not a compiled pipeline; run: python compile.py"):
        Spec.read(str(tmp_path / "x.yaml"), tmp_path)


def test_a_pipeline_that_was_not_compiled(tmp_path):
    with pytest.raises(ConfigError, match=r"no compiled pipeline .*/training.yaml; run: python compile.py$"):
        Spec.read("training", tmp_path)
    (tmp_path / "scoring.yaml").touch()
    with pytest.raises(ConfigError, match=r"python compile.py \(there are: scoring\)"):
        Spec.read("training", tmp_path)


def test_a_spec_by_name_or_by_its_file(tmp_path):
    (tmp_path / "training.yaml").write_text(TEXT)
    by_name, by_file = Spec.read("training", tmp_path), Spec.read(str(tmp_path / "training.yaml"), tmp_path / "elsewhere")
    assert by_name == by_file
    assert by_name.parameters["min_auc_pr"].type == "NUMBER_DOUBLE"
    assert by_name.sha256 != spec(TEXT + "\n").sha256


def test_the_code_that_it_was_compiled_from():
    assert spec("# training, compiled by compile.py from code 0123456789ab\n" + TEXT).code == "0123456789ab"
    assert spec().code == ""


def test_the_tasks_are_in_the_order_of_their_dependencies_and_the_exit_handler_is_last():
    tasks = spec().tasks
    assert len(tasks) == len(set(tasks)) == len(spec().executors)
    before = [
        "fingerprint",
        "prepare",
        "features",
        "train",
        "evaluate",
        "find-champion",
        "judge",
        "track",
        "register",
        "deploy",
        "smoke-test",
        "promote",
    ]
    assert [name for name in tasks if name in before] == before
    assert tasks[-1] == "notify"


def test_every_image_gets_the_tag():
    values = yaml.safe_load(TEXT)
    containers = [executor["container"] for executor in values["deploymentSpec"]["executors"].values()]
    references = [
        "churn-data",
        "churn-data:1",
        "host:5000/churn/data",
        "host:5000/churn/data:1",
        "host:5000/churn/data@sha256:abc",
        "churn-data:1@sha256:abc",
    ]
    for container, reference in zip(containers, references, strict=False):
        container["image"] = reference
    for container in containers[len(references) :]:
        container["image"] = "churn-data"
    tagged = spec(yaml.safe_dump(values)).with_images("src-1")
    assert spec(tagged).images == ["churn-data:src-1", "host:5000/churn/data:src-1"]
    assert spec(tagged).parameters == spec().parameters
    assert ("retryPolicy" in str(values), "retryPolicy" in tagged) == (True, False)  # a run on this machine tries no step again


@pytest.fixture
def checkout(tmp_path):
    for name in (
        "churn/a.py",
        "components/b.py",
        "pipelines/c.py",
        "compile.py",
        "requirements/local.txt",
        "configs/churn.yaml",
        "churn/a.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "image", "compiled"),
    [
        ("churn/a.py", True, True),
        ("churn/new.py", True, True),
        ("components/b.py", True, True),
        ("requirements/local.txt", True, True),
        ("pipelines/c.py", False, True),
        ("compile.py", False, True),
        ("configs/churn.yaml", False, False),
        ("churn/a.txt", False, False),
    ],
)
def test_the_hashes_change_with_the_code_they_stand_for(checkout, name, image, compiled):
    before = image_hash(checkout), spec_hash(checkout)
    assert before == (image_hash(checkout), spec_hash(checkout))
    (checkout / name).write_text("changed")
    assert (image_hash(checkout) != before[0], spec_hash(checkout) != before[1]) == (image, compiled)


def test_a_renamed_file_is_other_code(checkout):
    before = image_hash(checkout)
    (checkout / "churn" / "a.py").rename(checkout / "churn" / "b.py")
    assert image_hash(checkout) != before


def test_the_commit_of_the_checkout_and_none_outside_one(tmp_path, monkeypatch):
    assert len(git_commit(CHECKOUT).removesuffix("-dirty")) == 40
    assert git_commit(tmp_path) == ""
    monkeypatch.setenv("PATH", "")
    assert git_commit(CHECKOUT) == ""
