"""The smoke test: the server is started on a free port with the release's model, and must give rows of known score their score."""

from typing import Any

from churn.deployment.process import predict, running
from churn.deployment.releases import Release
from churn.platform.errors import StateError

_TOLERANCE = 1e-6


def smoke_test(release: Release) -> int:
    """Probe a release; gives the number of rows that answered right.

    Raises:
        StateError: the server did not start, or a prediction is not the known one.
    """
    probe = release.probe
    with running("churn.serving.server", "--model", str(release.model)) as port:
        return _compare(predict(port, probe["instances"]), probe["probabilities"])


def _compare(predictions: list[dict[str, Any]], known: list[float]) -> int:
    if not known or len(predictions) != len(known):
        raise StateError(f"the smoke test asked for {len(known)} predictions and got {len(predictions)}")
    for number, (prediction, probability) in enumerate(zip(predictions, known, strict=True)):
        if abs(prediction["churn_probability"] - probability) > _TOLERANCE:
            raise StateError(
                f"the smoke test's row {number} should be {probability:.6f} and is {prediction['churn_probability']:.6f}: not the model that was evaluated"
            )
    return len(known)
