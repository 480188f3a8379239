"""Telling people: a log line always, a webhook where one is named."""

import json
import logging
import os
import urllib.request
from http.client import HTTPException

log = logging.getLogger(__name__)


def notify(message: str, *, webhook_env: str = "", timeout: float = 10.0) -> bool:
    """Say a message; gives True where the webhook took it, False where there is none or it did not.

    Args:
        message: one line.
        webhook_env: the name of the environment variable that holds the webhook's URL (the URL is a secret, so it is named, never passed).
        timeout: seconds to wait for the webhook.
    """
    log.warning("%s", message)
    url = os.environ.get(webhook_env, "") if webhook_env else ""
    if not url:
        return False
    try:
        request = urllib.request.Request(url, json.dumps({"text": message}).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout):
            return True
    except (OSError, ValueError, HTTPException) as error:
        # Nobody is served by a run that fails because its messenger did.
        log.error("the webhook named by %s did not take the message: %s", webhook_env, type(error).__name__)
        return False
