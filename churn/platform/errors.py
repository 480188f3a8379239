"""One family of exceptions: each message is one line that says what is wrong, where, and what to do."""


class ChurnError(Exception):
    """Something a person can cause and mend."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(str(message).split()))


class ConfigError(ChurnError):
    """A configuration, a parameter or a call is wrong."""


class InputError(ChurnError):
    """The data given cannot be used as they are."""


class IntegrityError(ChurnError):
    """Something written is not what it was when it was written."""


class StateError(ChurnError):
    """The world is not as this step needs it: something moved, ended or failed elsewhere."""
