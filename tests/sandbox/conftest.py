"""One sandbox for the session, emptied for each test; the real SDK pointed at it."""

from pathlib import Path

import pytest

from tests.sandbox import Sandbox

PROJECT, REGION, BUCKET = "sandbox", "us-central1", "sandbox-bucket"
PARENT = f"projects/{PROJECT}/locations/{REGION}"


@pytest.fixture(scope="session")
def running(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("sandbox"), servers="inline") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running, monkeypatch):
    running.reset()
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture(params=["rest", "grpc"])
def transport(request):
    return request.param


@pytest.fixture
def sdk(sandbox, transport):
    """google.cloud.aiplatform, as the project's code sets it up."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    endpoint = sandbox.environment(transport)["CHURN_VERTEX_API_ENDPOINT"]
    where = {"project": PROJECT, "location": REGION, "staging_bucket": f"gs://{BUCKET}"}
    aiplatform.init(**where, api_endpoint=endpoint, api_transport=transport, credentials=AnonymousCredentials())
    return aiplatform


@pytest.fixture
def gapic(sandbox, transport):
    """A maker of the generated clients: gapic("EndpointService")."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform_v1

    def client(service):
        endpoint = sandbox.environment(transport)["CHURN_VERTEX_API_ENDPOINT"]
        options = {"api_endpoint": endpoint}
        cls = getattr(aiplatform_v1, f"{service}Client")
        return cls(credentials=AnonymousCredentials(), client_options=options, transport=transport)

    return client


@pytest.fixture
def bucket(sandbox):
    from google.cloud import storage

    return storage.Client().bucket(BUCKET)


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    """A tiny model, in the project's own format."""
    import numpy as np

    from churn.training.model import import_xgboost, save_model

    xgboost = import_xgboost()
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(200, 2)).astype("float32")
    data = xgboost.DMatrix(rows, label=(rows[:, 0] > 0).astype(int))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, data, 5)
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, booster, ["recency", "frequency"], 0.5, 1.0, {"rounds": 5})
    return folder


@pytest.fixture
def model_uri(bucket, artifact):
    for path in Path(artifact).iterdir():
        bucket.blob(f"models/one/{path.name}").upload_from_filename(str(path))
    return f"gs://{BUCKET}/models/one"


@pytest.fixture(scope="session")
def gated_spec(tmp_path_factory):
    """Two steps and a gate: draws a number, and acts where it is large enough."""
    from kfp import compiler, dsl

    step = dsl.component(base_image="churn-data", packages_to_install=[], install_kfp_package=False)

    @step
    def draw(value: float, root: str, schedule_time: str, out: dsl.Output[dsl.Dataset]) -> float:
        from pathlib import Path

        Path(out.path).mkdir()
        (Path(out.path) / "said.txt").write_text(f"{root} {schedule_time}")
        out.metadata["value"] = value
        if value < 0:
            raise ValueError("a negative number")
        if value > 100:
            import time

            time.sleep(value)
        return value

    @step
    def act(data: dsl.Input[dsl.Dataset]) -> str:
        from pathlib import Path

        return (Path(data.path) / "said.txt").read_text()

    @dsl.pipeline(name="gated")
    def gated(value: float, limit: float = 0.5, rounds: int = 3, note: str = "none"):
        drawn = draw(value=value, root=dsl.PIPELINE_ROOT_PLACEHOLDER, schedule_time=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER)
        with dsl.If(drawn.outputs["Output"] >= limit):
            act(data=drawn.outputs["out"])

    path = tmp_path_factory.mktemp("spec") / "gated.yaml"
    compiler.Compiler().compile(gated, str(path))
    return path


@pytest.fixture(scope="session")
def cacheable_spec(tmp_path_factory):
    """One step, whose file and number are the same for the same input."""
    from kfp import compiler, dsl

    @dsl.component(base_image="churn-data", packages_to_install=[], install_kfp_package=False)
    def write(text: str, out: dsl.Output[dsl.Artifact]) -> int:
        from pathlib import Path

        Path(out.path).write_text(text)
        return len(text)

    @dsl.pipeline(name="cacheable")
    def cacheable(text: str = "hello"):
        write(text=text)

    path = tmp_path_factory.mktemp("spec") / "cacheable.yaml"
    compiler.Compiler().compile(cacheable, str(path))
    return path
