"""Faults on demand, at any call of any service, and the record of calls received."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sandbox.refusal import Cut, Refusal

REFUSALS = {
    "429": ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "500": ("INTERNAL", "Internal error encountered."),
    "503": ("UNAVAILABLE", "The service is currently unavailable."),
    "409": ("ABORTED", "The operation was aborted, because another one changed the resource at the same time."),
    "quota": (
        "RESOURCE_EXHAUSTED",
        "The following quota metrics exceed quota limits: aiplatform.googleapis.com/custom_model_serving_cpus. "
        "Quota exceeded for quota metric 'Custom model serving CPUs' of service 'aiplatform.googleapis.com'.",
    ),
}
KINDS = (*REFUSALS, "slow", "cut-before", "cut-after", "lro-fails")


@dataclass
class Fault:
    """What shall happen at the nth matching call from now."""

    call: str
    kind: str
    left: int
    seconds: float


class Faults:
    """The faults that wait for their call. `struck` lists those that met it, as (call, kind)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._cleared = threading.Event()
        self.struck: list[tuple[str, str]] = []

    def add(self, call: str, fault: str, nth: int = 1, seconds: float = 30.0) -> None:
        """Have the nth call of this name from now meet a fault.

        Args:
            call: as in Sandbox.calls, or "*" for any call.
            fault: one of KINDS. slow: the call waits, then is done. cut-before and cut-after: the connection ends with no answer, before the action and
                after it. lro-fails: the operation ends with an error, the action is not done; a call that gives no operation is left alone.
            nth: 1 is the next one.
            seconds: how long slow waits.
        """
        if fault not in KINDS or nth < 1:
            raise ValueError(f"a fault is one of {', '.join(KINDS)}, and nth is 1 or more; not {fault!r}, {nth}")
        with self._lock:
            self._waiting.append(Fault(call, fault, nth, seconds))

    def clear(self) -> None:
        """Forget every fault; a slow call that waits is refused, and its action is not done."""
        with self._lock:
            self._waiting, self.struck = [], []
            waiting, self._cleared = self._cleared, threading.Event()
        waiting.set()

    def take(self, call: str) -> Fault | None:
        """The fault that this call meets, if any."""
        met = None
        with self._lock:
            for fault in list(self._waiting):
                if fault.call not in ("*", call):
                    continue
                fault.left -= 1
                if fault.left == 0:
                    self._waiting.remove(fault)
                    met = met or fault
            if met:
                self.struck.append((call, met.kind))
        return met

    def wait(self, seconds: float) -> None:
        """What slow does."""
        if self._cleared.wait(seconds):
            raise Refusal("UNAVAILABLE", "the sandbox ended this call's delay")


class Gate:
    """Every call of every service goes through it: it is written down, and meets its fault."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults = Faults()

    def through(self, call: str, action: Callable[[], Any], failing: Callable[[], Any] | None = None) -> Any:
        """Do the action, or what the fault says.

        Args:
            call: its name.
            action: what the call does, and gives.
            failing: for a call that gives an operation: makes one that failed.
        """
        self.calls.append(call)
        fault = self.faults.take(call)
        if fault is None:
            return action()
        if fault.kind in REFUSALS:
            raise Refusal(*REFUSALS[fault.kind])
        if fault.kind == "cut-before":
            raise Cut
        if fault.kind == "lro-fails" and failing is not None:
            return failing()
        if fault.kind == "slow":
            self.faults.wait(fault.seconds)
        result = action()
        if fault.kind == "cut-after":
            raise Cut
        return result
