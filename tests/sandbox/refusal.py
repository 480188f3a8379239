"""A call that a service refuses: the code and the message, whichever protocol carries them."""

STATUS = {
    # google.rpc name: (HTTP status, gRPC number)
    "CANCELLED": (499, 1),
    "INVALID_ARGUMENT": (400, 3),
    "DEADLINE_EXCEEDED": (504, 4),
    "NOT_FOUND": (404, 5),
    "ALREADY_EXISTS": (409, 6),
    "PERMISSION_DENIED": (403, 7),
    "RESOURCE_EXHAUSTED": (429, 8),
    "FAILED_PRECONDITION": (400, 9),
    "ABORTED": (409, 10),
    "UNIMPLEMENTED": (501, 12),
    "INTERNAL": (500, 13),
    "UNAVAILABLE": (503, 14),
}


class Refusal(Exception):
    """What a service says in place of an answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http, self.grpc = STATUS[code]

    def body(self) -> dict[str, object]:
        """The JSON of a REST answer."""
        return {"error": {"code": self.http, "message": self.message, "status": self.code}}


class Cut(Exception):
    """The connection ends with no answer."""


def invalid(message: str) -> Refusal:
    """A request that can never be right."""
    return Refusal("INVALID_ARGUMENT", message)


def precondition(message: str) -> Refusal:
    """A request that is not right in the present state."""
    return Refusal("FAILED_PRECONDITION", message)
