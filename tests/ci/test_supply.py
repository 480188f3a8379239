"""Bills of materials that are the same twice and take the schema; advisories that are never silent."""

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tools.audit import audit
from tools.locks import locks, read_lock
from tools.sbom import bill, main, purl


def test_a_bill_for_each_lock_takes_the_schema_and_is_the_same_twice(tmp_path):
    assert main(["--out", str(tmp_path / "one")]) == main(["--out", str(tmp_path / "two")]) == 0
    made = sorted((tmp_path / "one").iterdir())
    assert [path.name for path in made] == [f"{path.stem}.cdx.json" for path in locks()]
    for path in made:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None


def test_a_bill_has_every_package_of_its_lock():
    for path in locks():
        pins = read_lock(path)
        written = [line for line in path.read_text().splitlines() if "==" in line]
        assert len(pins) == len(written) > 0
        assert [each["purl"] for each in bill(path.stem, pins)["components"]] == [purl(pin) for pin in pins]


def test_another_lock_is_another_serial(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Some_Package[x]==1.0+local ; sys_platform == 'linux' \\\n    --hash=sha256:" + "a" * 64 + "\n")
    (pin,) = read_lock(path)
    assert (pin.name, pin.version, purl(pin)) == ("some-package", "1.0+local", "pkg:pypi/some-package@1.0%2Blocal")
    assert bill("a", [pin])["serialNumber"] != bill("b", [pin])["serialNumber"] != bill("a", [])["serialNumber"]


@pytest.mark.parametrize("line", ["package==1.0", "package>=1.0 --hash=sha256:" + "a" * 64, "-r other.txt"])
def test_a_lock_that_pins_nothing_is_refused(tmp_path, line):
    (tmp_path / "a.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match="should be NAME==VERSION with its hashes"):
        read_lock(tmp_path / "a.txt")


def said(*answers, why=""):
    paths = [locks()[0]]
    return audit(paths, lambda _: (list(answers), "") if not why else (None, why))


def test_a_known_vulnerability_fails():
    bad = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
    lines, status = said(bad, {"name": "b", "version": "1", "vulns": []})
    assert status == 1
    assert any("a 1: CVE-1, fixed in 2" in line for line in lines)
    assert not [line for line in lines if "NOT CHECKED" in line]


def test_what_was_checked_and_good_is_counted():
    lines, status = said({"name": "b", "version": "1", "vulns": []})
    assert (status, lines) == (0, [f"audit: {locks()[0].name}: 1 packages checked"])


@pytest.mark.parametrize(
    ("answers", "why", "words"),
    [
        ([], "Connection refused", "NOT CHECKED: the advisory service does not answer (Connection refused)"),
        ([{"name": "a", "skip_reason": "not found"}], "", "NOT CHECKED: 1 of 1 packages"),
        ([], "", "NOT CHECKED: 0 of 0 packages"),
    ],
)
def test_no_answer_is_said_and_is_no_pass_in_silence(answers, why, words):
    lines, status = said(*answers, why=why)
    assert status == 0
    assert [line for line in lines if words in line]
    assert not [line for line in lines if line.endswith(" 1 packages checked")]
