"""Rights on Google Cloud: the least, checked when they are read, and commands that a shell takes, twice."""

import json
import subprocess
import sys
from itertools import pairwise

import pytest
import yaml

from churn.cli.main import main
from churn.deployment.identity import Access, People, commands
from churn.platform.checked import read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import CONFIGS, VertexEnvironment

ENVIRONMENT = {"target": "vertex", "project": "my-project-123", "region": "europe-west4", "bucket": "my-churn"}
PEOPLE = People(("group:team@example.com",), ("user:one@example.com",), "acme/churn")
FAKE = """#!{python}
import json, os, sys
log = os.environ["GCLOUD_LOG"]
with open(log, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
made = [json.loads(line) for line in open(log)]
if sys.argv[1:3] == ["projects", "describe"]:
    print("987654321")
elif "describe" in sys.argv:
    at = sys.argv.index("describe")
    group, known = sys.argv[1:at], sys.argv[at + 1].split("@")[0]
    sys.exit(not any(each[: at - 1] == group and each[at - 1].startswith("create") and each[at] == known for each in made))
"""


@pytest.fixture
def access():
    return Access.read(CONFIGS / "iam.yaml")


def lines(access, people=PEOPLE, **changed):
    return commands(access, VertexEnvironment.of(ENVIRONMENT | changed, "here"), people)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Runs a script with a gcloud that does nothing but remember; gives the calls of it."""
    (tmp_path / "gcloud").write_text(FAKE.format(python=sys.executable))
    (tmp_path / "gcloud").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("GCLOUD_LOG", str(tmp_path / "log"))

    def run(script):
        before = len((tmp_path / "log").read_text().splitlines()) if (tmp_path / "log").exists() else 0
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()[before:]]

    return run


def test_nobody_has_more_than_the_least(access):
    roles = {grant.role for account in access.accounts.values() for grant in account.grants}
    assert not [role for role in roles if role in {"roles/owner", "roles/editor", "roles/viewer"} or "dmin" in role]
    permissions = [each for role in access.roles.values() for each in role.permissions]
    assert not [each for each in permissions if "*" in each or "setIam" in each or each.startswith("iam.")]
    assert all(role.permissions == sorted(set(role.permissions)) for role in access.roles.values())
    on_the_project = {grant.role for account in access.accounts.values() for grant in account.grants if grant.resource == "project"}
    assert {role for role in on_the_project if role.startswith("roles/")} == {"roles/logging.logWriter"}


def test_servers_read_releases_and_nothing_else(access):
    (bucket,) = [grant for grant in access.accounts["churn-serving"].grants if grant.resource == "bucket"]
    assert (bucket.role, bucket.under) == ("roles/storage.objectViewer", ["releases/"])


@pytest.mark.parametrize(
    ("grant", "says"),
    [
        ({"role": "roles/owner", "resource": "project"}, "roles/owner is never granted here"),
        ({"role": "roles/editor", "resource": "project"}, "roles/editor is never granted here"),
        ({"role": "roles/aiplatform.admin", "resource": "project"}, "never granted"),
        ({"role": "roles/storage.objectAdmin", "resource": "bucket"}, "never granted"),
        ({"role": "roles/iam.serviceAccountKeyAdmin", "resource": "account:churn-serving"}, "never granted"),
        ({"role": "roles/aiplatform.customCodeServiceAgent", "resource": "project"}, "never granted"),
        ({"role": "roles/iam.serviceAccountTokenCreator", "resource": "project"}, "grant it on account:NAME"),
        ({"role": "roles/storage.objectViewer", "resource": "project"}, "granted on bucket, not on the project"),
        ({"role": "roles/artifactregistry.writer", "resource": "project"}, "granted on images, specs, not on the project"),
        ({"role": "roles/logging.logWriter", "resource": "project", "under": ["releases/"]}, "for the bucket alone"),
        ({"role": "churnEverything", "resource": "project"}, "churnEverything is neither among roles here nor"),
        ({"role": "roles/iam.serviceAccountUser", "resource": "account:churn-nobody"}, "account:churn-nobody is not among accounts"),
        ({"role": "roles/storage.objectViewer", "resource": "everything"}, "resource"),
    ],
)
def test_too_much_is_refused_when_it_is_read(tmp_path, grant, says):
    values = read_yaml(CONFIGS / "iam.yaml")
    values["accounts"]["churn-serving"]["grants"].append(grant)
    (tmp_path / "iam.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ConfigError, match=says):
        Access.read(tmp_path / "iam.yaml")


@pytest.mark.parametrize("permission", ["aiplatform.*", "resourcemanager.projects.setIamPolicy", "iam.serviceAccounts.actAs", "storage"])
def test_a_role_of_ones_own_gives_no_way_up(access, permission):
    values = access.model_dump()
    values["roles"]["churnSubmit"]["permissions"].append(permission)
    with pytest.raises(ConfigError, match="none by which an account gives itself more"):
        Access.of(values, "iam.yaml")


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers", "one@example.com", "domain:example.com", "user:one"])
def test_everybody_is_nobody(member):
    with pytest.raises(ConfigError, match="never allUsers"):
        People(submitters=(member,))


def test_a_shell_takes_the_commands_and_takes_them_again(access, shell):
    script = "\n".join(lines(access))
    first, second = shell(script), shell(script)
    created = [call for call in first if any(word.startswith("create") for word in call)]
    assert len(created) == 1 + 2 + len(access.accounts) + len(access.roles) + 2
    assert not [call for call in second if any(word.startswith("create") for word in call)]
    assert [call for call in first if "describe" not in call and call not in created] == [call for call in second if "describe" not in call]


def test_no_key_is_made_and_nothing_is_public(access, shell):
    for call in shell("\n".join(lines(access))):
        assert "keys" not in call
        assert not [word for word in call if "allUsers" in word or "allAuthenticated" in word]
        if "create" in call and "buckets" in call:
            assert {"--uniform-bucket-level-access", "--public-access-prevention", "--location=europe-west4"} <= set(call)


def test_each_binding_is_on_its_resource(access, shell):
    bindings = [call for call in shell("\n".join(lines(access))) if "add-iam-policy-binding" in call]
    serving = [call for call in bindings if "--member=serviceAccount:churn-serving@my-project-123.iam.gserviceaccount.com" in call]
    assert [call[0] for call in serving] == ["projects", "storage"]
    start = "projects/_/buckets/my-churn/objects"
    assert serving[1][-1] == f'--condition=expression=resource.name.startsWith("{start}/releases/"),title=under releases'
    submit = [call for call in bindings if "--role=roles/storage.objectViewer" in call and "churn-submit" in call[4]]
    either = f'resource.name.startsWith("{start}/sources/") || resource.name.startsWith("{start}/pipeline/")'
    assert submit[0][-1] == f"--condition=expression={either},title=under sources and pipeline"
    own = [call for call in bindings if "--role=projects/my-project-123/roles/churnSteps" in call]
    assert [call[:3] for call in own] == [["projects", "add-iam-policy-binding", "my-project-123"]]


def test_ci_comes_for_one_repository_and_one_branch(access, shell):
    calls = shell("\n".join(lines(access)))
    provider = next(call for call in calls if "create-oidc" in call)
    assert "--attribute-condition=assertion.repository == 'acme/churn' && assertion.ref == 'refs/heads/main'" in provider
    pool = "principalSet://iam.googleapis.com/projects/987654321/locations/global/workloadIdentityPools/churn-ci"
    ours = [call for call in calls if "--role=roles/iam.workloadIdentityUser" in call]
    assert [call[3:4] + call[5:6] for call in ours] == [
        ["churn-ci@my-project-123.iam.gserviceaccount.com", f"--member={pool}/attribute.repository/acme/churn"]
    ]


def test_people_impersonate_and_where_nobody_is_named_it_says_how(access):
    said = lines(access)
    who = [line.split()[4].split("@")[0] for line in said if "serviceAccountTokenCreator" in line]
    assert who == ["churn-submit", "churn-scheduler", "churn-operator"]
    nobody = "\n".join(lines(access, People()))
    assert "# churn-submit: nobody yet; say --submitter group:NAME@DOMAIN" in nobody
    assert "# none; say --repository OWNER/NAME" in nobody
    assert "TokenCreator" not in nobody
    with pytest.raises(ConfigError, match="should be OWNER/NAME"):
        People(repository="acme")


def test_a_key_is_opened_to_the_service_alone(access):
    key = "projects/p/locations/europe-west4/keyRings/churn/cryptoKeys/churn"
    (line,) = [each for each in lines(access, kms_key=key) if "kms" in each]
    assert f"gcloud kms keys add-iam-policy-binding {key}" in line
    assert '"--member=serviceAccount:service-${PROJECT_NUMBER}@gcp-sa-aiplatform.iam.gserviceaccount.com"' in line


def test_a_repository_elsewhere_is_said(access):
    with pytest.raises(ConfigError, match=r"image_repository: registry\.example\.com/churn is not a repository of Artifact Registry"):
        lines(access, image_repository="registry.example.com/churn")


def test_the_command_prints_and_runs_nothing(monkeypatch, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"CHURN_{name.upper()}", value)
    monkeypatch.setenv("PATH", "")
    assert main(["cloud", "setup", "--print", "--submitter", "group:team@example.com"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "set -euo pipefail"
    assert all(not line or line.startswith(("#", "gcloud ", "set ", "PROJECT_NUMBER=")) for line in said)
    assert not [one for one, two in pairwise(said) if one == two]
    assert main(["cloud", "setup", "--print", "--submitter", "allUsers"]) == 2
    assert "never allUsers" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["cloud", "setup"])
    assert stopped.value.code == 2


def test_builds_of_another_project_get_cis_rights_here_and_no_more(access):
    elsewhere = "churn-ci@my-builds.iam.gserviceaccount.com"
    said = lines(access, People(ci=elsewhere))
    ours = [line for line in said if "member=serviceAccount:churn-ci@my-project-123" in line]
    theirs = [line.replace(elsewhere, "churn-ci@my-project-123.iam.gserviceaccount.com") for line in said if elsewhere in line]
    assert len(theirs) == len(access.accounts["churn-ci"].grants)
    assert theirs == ours
    with pytest.raises(ConfigError, match="should be a service account"):
        People(ci="everybody")


def test_code_that_nobody_has_reviewed_may_write_its_log(access):
    assert [(grant.role, grant.resource) for grant in access.accounts["churn-checks"].grants] == [("roles/logging.logWriter", "project")]
