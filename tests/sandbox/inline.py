"""The serving contract, answered in this process: for tests that deploy hundreds of times."""

import json
from typing import Any


def answered(model: Any, body: bytes) -> tuple[int, bytes]:
    """The status and body that the real server gives to a request."""
    from churn.platform.errors import InputError
    from churn.serving.contract import answer

    try:
        return 200, json.dumps(answer(model, json.loads(body))).encode()
    except InputError as error:
        return 400, json.dumps({"error": str(error)}).encode()
