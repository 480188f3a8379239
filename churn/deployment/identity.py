"""Who may do what on Google Cloud: configs/iam.yaml, checked against a deny-list, as gcloud commands for a person to read and run."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from churn.platform.checked import Checked, read_yaml
from churn.platform.errors import ConfigError
from churn.platform.settings import VertexEnvironment, is_loopback

_BASIC = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
_ADMIN = re.compile(r"admin($|\W)|Admin")
# Roles by which one becomes another account: on that account, never on all of the project's.
_BECOMING = frozenset({"roles/iam.serviceAccountUser", "roles/iam.serviceAccountTokenCreator", "roles/iam.workloadIdentityUser"})
_NARROWER = {"storage": "bucket", "artifactregistry": "images, specs"}  # services whose roles go onto a resource, not onto the project
_FORBIDDEN = re.compile(r"\*|setIamPolicy|^iam\.|serviceAccountKeys|actAs", re.IGNORECASE)
_PERSON = re.compile(r"(user|group|serviceAccount):[^@\s]+@[^@\s]+\.[^@\s]+")
_REPOSITORY = re.compile(r"(?:https://)?(?P<region>[a-z0-9-]+)-(?:docker|kfp)\.pkg\.dev/(?P<project>[^/]+)/(?P<name>[^/]+)/?")
_NUMBER = "${PROJECT_NUMBER}"
_RESOURCE = r"^(project|bucket|images|specs|account:[a-z][a-z0-9-]{4,28}[a-z0-9])$"


class Grant(Checked):
    """A role on a resource. under: folders of the bucket, where not all of it."""

    role: str
    resource: str = Field(pattern=_RESOURCE)
    under: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _least(self) -> Self:
        service = self.role.removeprefix("roles/").partition(".")[0]
        if self.role in _BASIC or _ADMIN.search(self.role) or self.role.endswith("erviceAgent"):
            raise ValueError(f"{self.role} is never granted here: name the roles, or a role of the project's own, that hold what is needed")
        if self.role in _BECOMING and not self.resource.startswith("account:"):
            raise ValueError(f"{self.role} on {self.resource} would be for every account there: grant it on account:NAME")
        if self.resource == "project" and service in _NARROWER:
            raise ValueError(f"{self.role} is granted on {_NARROWER[service]}, not on the project")
        if self.under and self.resource != "bucket":
            raise ValueError("under is for the bucket alone")
        return self


class Role(Checked):
    """A role of the project's own."""

    title: str = Field(min_length=1, max_length=100)
    permissions: list[str] = Field(min_length=1)

    @field_validator("permissions")
    @classmethod
    def _narrow(cls, value: list[str]) -> list[str]:
        for each in value:
            if _FORBIDDEN.search(each) or not re.fullmatch(r"[a-z]+(\.[a-zA-Z]+){2}", each):
                raise ValueError(f"{each}: should be one permission, and none by which an account gives itself more")
        return value


class Account(Checked):
    """A service account: what it does, what it may, and which people may act as it."""

    does: str
    grants: list[Grant] = Field(min_length=1)
    people: Literal["", "submitter", "operator"] = ""


class Federation(Checked):
    """CI by workload identity federation: tokens of an issuer, for one repository and one ref, become an account."""

    pool: str = Field(pattern=r"^[a-z][a-z0-9-]{3,31}$")
    provider: str = Field(pattern=r"^[a-z][a-z0-9-]{3,31}$")
    issuer: str = Field(pattern=r"^https://[\w./-]+$")
    ref: str = Field(pattern=r"^refs/[\w./-]+$")
    account: str


class Access(Checked):
    """configs/iam.yaml."""

    checked: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    apis: list[str]
    roles: dict[str, Role]
    accounts: dict[str, Account]
    federation: Federation

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name, account in self.accounts.items():
            for grant in account.grants:
                if not grant.role.startswith("roles/") and grant.role not in self.roles:
                    raise ValueError(f"{name}: {grant.role} is neither among roles here nor one of Google's (roles/…)")
                if grant.resource.startswith("account:") and grant.resource.removeprefix("account:") not in self.accounts:
                    raise ValueError(f"{name}: {grant.resource} is not among accounts")
        if self.federation.account not in self.accounts:
            raise ValueError(f"federation.account: {self.federation.account} is not among accounts")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file.

        Raises:
            ConfigError: what is wrong in it, or more than anybody here should have.
        """
        return cls.of(read_yaml(path), str(path))


@dataclass(frozen=True)
class People:
    """Who may act as the accounts: submitters and operators (user:…, group:…, serviceAccount:…), and CI.

    repository: whose workflows come by federation (OWNER/NAME; '': none). ci: the account of builds in another project, which gets CI's rights here.
    """

    submitters: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    repository: str = ""
    ci: str = ""

    def __post_init__(self) -> None:
        for each in (*self.submitters, *self.operators):
            if not _PERSON.fullmatch(each):
                raise ConfigError(f"{each!r}: should be one identity, for example group:churn-team@example.com; never allUsers")
        if self.ci and not re.fullmatch(r"[a-z0-9-]+@[a-z0-9-]+\.iam\.gserviceaccount\.com", self.ci):
            raise ConfigError(f"ci {self.ci!r}: should be a service account, for example churn-ci@my-builds.iam.gserviceaccount.com")
        if self.repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise ConfigError(f"repository {self.repository!r}: should be OWNER/NAME")

    def of(self, kind: str) -> tuple[str, ...]:
        """Those of a kind: submitter, operator."""
        return {"submitter": self.submitters, "operator": self.operators}.get(kind, ())


def commands(access: Access, environment: VertexEnvironment, people: People) -> list[str]:
    """The lines of a shell script, each of which can be run again: APIs, places, accounts, roles, bindings, federation."""
    setup = _Setup(access, environment, people)
    return [
        *_titled(
            f"Accounts and rights for {environment.project}, as of {access.checked}. Nothing was run; every line can be run again.", []
        ),
        "set -euo pipefail",
        f"PROJECT_NUMBER=$(gcloud projects describe {environment.project} --format='value(projectNumber)')",
        *_titled("APIs", [_gcloud("services", "enable", *access.apis, project=environment.project)]),
        *_titled("Bucket and repositories", setup.places()),
        *_titled("Service accounts; no keys are made for them", setup.accounts()),
        *_titled("Roles of the project's own", setup.roles()),
        *_titled("What each account may, on the narrowest resource", setup.grants()),
        *_titled("Who may act as them", setup.impersonation()),
        *_titled(f"CI: tokens of {access.federation.issuer}", setup.federation()),
        *_titled("Then set, for submit and churn", setup.settings()),
    ]


class _Setup:
    """Each part of the commands."""

    def __init__(self, access: Access, environment: VertexEnvironment, people: People) -> None:
        self._access, self._environment, self._people = access, environment, people
        self._project, self._bucket = environment.project, f"gs://{environment.bucket}"

    def places(self) -> list[str]:
        bucket = _unless(
            _gcloud("storage", "buckets", "describe", self._bucket),
            _gcloud("storage", "buckets", "create", self._bucket, project=self._project, location=self._environment.region)
            + " --uniform-bucket-level-access --public-access-prevention",
        )
        return [bucket, *(self._repository(kind) for kind in ("images", "specs")), *self._key()]

    def _repository(self, kind: str) -> str:
        name, where = self._address(kind)
        group = ("artifacts", "repositories")
        form = {"images": "docker", "specs": "kfp"}[kind]
        return _unless(_gcloud(*group, "describe", name, **where), _gcloud(*group, "create", name, **where, repository_format=form))

    def _address(self, kind: str) -> tuple[str, dict[str, str]]:
        address = {"images": self._environment.image_repository, "specs": self._environment.kfp_repository}[kind]
        if is_loopback(address):
            # Where a repository answers on this machine, there is none to make; in a project it has the name that it has by default.
            return "churn-pipelines", {"project": self._environment.project, "location": self._environment.region}
        found = _REPOSITORY.fullmatch(address)
        if not found:
            setting = {"images": "image_repository", "specs": "kfp_repository"}[kind]
            raise ConfigError(
                f"{setting}: {address} is not a repository of Artifact Registry; unset CHURN_{setting.upper()} for this command"
            )
        return found["name"], {"project": found["project"], "location": found["region"]}

    def _key(self) -> list[str]:
        if not self._environment.kms_key:
            return []
        agent = f"serviceAccount:service-{_NUMBER}@gcp-sa-aiplatform.iam.gserviceaccount.com"
        key = ("kms", "keys", "add-iam-policy-binding", self._environment.kms_key)
        return [_gcloud(*key, member=agent, role="roles/cloudkms.cryptoKeyEncrypterDecrypter")]

    def accounts(self) -> list[str]:
        group = ("iam", "service-accounts")
        return [
            _unless(
                _gcloud(*group, "describe", self._email(name), project=self._project),
                _gcloud(*group, "create", name, project=self._project, display_name=name, description=account.does),
            )
            for name, account in self._access.accounts.items()
        ]

    def roles(self) -> list[str]:
        lines = []
        for name, role in self._access.roles.items():
            said = {"project": self._project, "title": role.title, "permissions": ",".join(role.permissions), "stage": "GA"}
            there = _gcloud("iam", "roles", "describe", name, project=self._project)
            lines.append(_unless(there, _gcloud("iam", "roles", "create", name, **said)))
            lines.append(f"{_gcloud('iam', 'roles', 'update', name, **said)} --quiet")
        return lines

    def grants(self) -> list[str]:
        return [
            line
            for name, account in self._access.accounts.items()
            for line in (
                f"# {name}: {account.does}",
                *(self._grant(email, grant) for email in self._members(name) for grant in account.grants),
            )
        ]

    def _members(self, name: str) -> list[str]:
        """The account of that name; and for CI's, that of builds elsewhere."""
        elsewhere = self._people.ci if name == self._access.federation.account else ""
        return [self._email(name), *([elsewhere] if elsewhere else [])]

    def _grant(self, email: str, grant: Grant) -> str:
        who = {"member": f"serviceAccount:{email}", "role": self._role(grant.role)}
        if grant.resource == "project":
            return _gcloud("projects", "add-iam-policy-binding", self._project, **who, condition="None")
        if grant.resource == "bucket":
            return _gcloud("storage", "buckets", "add-iam-policy-binding", self._bucket, **who, condition=self._condition(grant.under))
        if grant.resource.startswith("account:"):
            return self._on_account(grant.resource.removeprefix("account:"), **who)
        repository, where = self._address(grant.resource)
        return _gcloud("artifacts", "repositories", "add-iam-policy-binding", repository, **where, **who)

    def _on_account(self, name: str, **who: str) -> str:
        return _gcloud("iam", "service-accounts", "add-iam-policy-binding", self._email(name), project=self._project, **who)

    def _condition(self, under: list[str]) -> str:
        if not under:
            return "None"
        start = f"projects/_/buckets/{self._environment.bucket}/objects/"
        expression = " || ".join(f'resource.name.startsWith("{start}{folder}")' for folder in under)
        return f"expression={expression},title=under {' and '.join(folder.rstrip('/') for folder in under)}"

    def impersonation(self) -> list[str]:
        lines = []
        for name, account in self._access.accounts.items():
            if account.people and not self._people.of(account.people):
                lines.append(f"# {name}: nobody yet; say --{account.people} group:NAME@DOMAIN")
            for member in self._people.of(account.people):
                lines.append(self._on_account(name, member=member, role="roles/iam.serviceAccountTokenCreator"))
        return lines

    def federation(self) -> list[str]:
        way, repository = self._access.federation, self._people.repository
        if not repository:
            return ["# none; say --repository OWNER/NAME"]
        group = ("iam", "workload-identity-pools")
        pool = {"project": self._project, "location": "global"}
        provider = {**pool, "workload_identity_pool": way.pool}
        rules = {
            "issuer_uri": way.issuer,
            "attribute_mapping": "google.subject=assertion.sub,attribute.repository=assertion.repository",
            "attribute_condition": f"assertion.repository == '{repository}' && assertion.ref == '{way.ref}'",
        }
        member = f"principalSet://iam.googleapis.com/projects/{_NUMBER}/locations/global/workloadIdentityPools/{way.pool}"
        return [
            _unless(_gcloud(*group, "describe", way.pool, **pool), _gcloud(*group, "create", way.pool, **pool)),
            _unless(
                _gcloud(*group, "providers", "describe", way.provider, **provider),
                _gcloud(*group, "providers", "create-oidc", way.provider, **provider, **rules),
            ),
            _gcloud(*group, "providers", "update-oidc", way.provider, **provider, **rules),
            self._on_account(way.account, member=f"{member}/attribute.repository/{repository}", role="roles/iam.workloadIdentityUser"),
        ]

    def settings(self) -> list[str]:
        reader = f"serviceAccount:{self._email('churn-pipeline')}"
        lines = [
            f"export CHURN_PROJECT={self._project} CHURN_REGION={self._environment.region} CHURN_BUCKET={self._environment.bucket}",
            f"export CHURN_SERVICE_ACCOUNT={self._email('churn-pipeline')} CHURN_SERVING__SERVICE_ACCOUNT={self._email('churn-serving')}",
            f"gcloud auth application-default login --impersonate-service-account={self._email('churn-submit')}",
            "and for sources in another bucket: "
            + _gcloud("storage", "buckets", "add-iam-policy-binding", "gs://THAT", member=reader, role="roles/storage.objectViewer"),
        ]
        return [f"# {line}" for line in lines]

    def _email(self, name: str) -> str:
        return f"{name}@{self._project}.iam.gserviceaccount.com"

    def _role(self, name: str) -> str:
        return name if name.startswith("roles/") else f"projects/{self._project}/roles/{name}"


def _titled(title: str, lines: list[str]) -> list[str]:
    return ["", f"# {title}", *lines] if lines else [f"# {title}"]


def _unless(there: str, make: str) -> str:
    return f"{there} >/dev/null 2>&1 || {make}"


def _gcloud(*words: str, **flags: str) -> str:
    """One command: a flag is named with underscores here."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    return " ".join(["gcloud", *(_quoted(each) for each in (*words, *given))])


def _quoted(word: str) -> str:
    # The shell shall put the project's number in; nothing else in such a word means anything to it.
    return f'"{word}"' if _NUMBER in word else shlex.quote(word)
