"""compile.py: the same bytes for the same input, images that stay what they are, and one line where they do not."""

import json

import pytest
import yaml

import compile as compile_command
from pipelines.submit.spec import Spec

DIGESTS = {
    name: f"us-central1-docker.pkg.dev/acme/churn/churn-{name}@sha256:{number * 64}"
    for number, name in zip("1234", ["data", "train", "deploy", "server"], strict=True)
}


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.json"

    def write(**changed):
        path.write_text(json.dumps({name: image for name, image in (DIGESTS | changed).items() if image is not None}))
        return str(path)

    return write


def test_images_by_digest_stand_in_the_spec_and_the_server_in_what_serving_needs(tmp_path, images):
    assert compile_command.main(["--images", images(), "--out", str(tmp_path), "--check"]) == 0
    spec = Spec.read("training", tmp_path)
    assert set(spec.images) == {DIGESTS[name] for name in ("data", "train", "deploy")}
    assert spec.values["deploymentSpec"]["executors"]["exec-train"]["container"]["image"] == DIGESTS["train"]
    assert spec.default("serving") == {"image": DIGESTS["server"]}


@pytest.mark.parametrize("how", ["digests", "tag", "code"])
def test_the_same_input_gives_the_same_bytes(tmp_path, images, how):
    given = {"digests": ["--images", images()], "tag": ["--image-tag", "1.2.3"], "code": []}[how]
    for name in ("one", "two"):
        assert compile_command.main([*given, "--out", str(tmp_path / name)]) == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"train": "host/churn-train:latest"}, "train is 'host/churn-train:latest': give the digest that was pushed"),
        ({"train": "host/churn-train"}, "train is 'host/churn-train': give the digest"),
        ({"server": "host:5000/churn-server"}, "server is 'host:5000/churn-server': give the digest"),
        ({"data": None}, "has no reference for data"),
        ({"data": 3}, "has no reference for data"),
        ({"server": 3}, "server is 3"),
    ],
)
def test_an_image_that_moves_is_refused_in_one_line(tmp_path, images, capsys, changed, says):
    assert compile_command.main(["--images", images(**changed), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tag", ["latest", "a tag", "-"])
def test_a_tag_that_moves_is_refused_in_one_line(tmp_path, capsys, tag):
    assert compile_command.main([f"--image-tag={tag}", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"--image-tag {tag}: is no tag that stays what it is" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_an_images_file_that_is_none_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "images.json"
    if content is not None:
        path.write_text(content)
    assert compile_command.main(["--images", str(path), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_spec_that_breaks_a_rule_is_said_and_ends_the_build(tmp_path, monkeypatch, capsys):
    whole = compile_command.compiled

    def careless(name, images):
        values = yaml.safe_load(whole(name, images))
        del values["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]
        return yaml.safe_dump(values)

    monkeypatch.setattr(compile_command, "compiled", careless)
    assert compile_command.main(["--out", str(tmp_path), "--check"]) == 1
    assert "compile.py: training: resources: exec-train has no cpuLimit" in capsys.readouterr().err
    assert compile_command.main(["--out", str(tmp_path)]) == 0
