"""The variables that point a process at the sandbox, and the key of a service account that does not exist."""

import json
from pathlib import Path

from tests.sandbox.names import BUCKET, PROJECT, REGION


def write_key(folder: Path, rest: str) -> Path:
    """A service account's key file, whose tokens the sandbox gives."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "sandbox",
        "private_key": pem.decode(),
        "client_email": f"sandbox@{PROJECT}.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"{rest}/token",
    }
    path = folder / "key.json"
    path.write_text(json.dumps(account))
    path.chmod(0o600)
    return path


def variables(*, rest: str, grpc: str, storage: str, proxy: str, ca: Path, key: Path, transport: str) -> dict[str, str]:
    """The environment of a process that shall reach the sandbox and nothing else."""
    return {
        "CHURN_PROJECT": PROJECT,
        "CHURN_REGION": REGION,
        "CHURN_BUCKET": BUCKET,
        "CHURN_VERTEX_API_ENDPOINT": rest if transport == "rest" else grpc,
        "CHURN_VERTEX_TRANSPORT": transport,
        "CHURN_KFP_REPOSITORY": f"{rest}/kfp/{PROJECT}/churn",
        "STORAGE_EMULATOR_HOST": storage,
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(ca),
        # A program that knows no api_endpoint asks for us-central1-aiplatform.googleapis.com; the direct address needs no proxy.
        "grpc_proxy": proxy,
        "no_grpc_proxy": "localhost,127.0.0.1",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        # Else the storage client asks for the bucket from a thread, at a moment of its own: calls would have no order.
        "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA": "true",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "NO_GCE_CHECK": "true",
    }
