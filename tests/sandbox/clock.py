"""The sandbox's clock: real time, which a test moves forward; schedules fall due on it."""

import datetime as dt
import threading
from collections.abc import Callable


class Clock:
    """Real time plus what it was moved by."""

    def __init__(self) -> None:
        self._offset = dt.timedelta()
        self._moving = threading.RLock()
        self._next: Callable[[], dt.datetime | None] = lambda: None
        self._fire: Callable[[], None] = lambda: None

    def drive(self, following: Callable[[], dt.datetime | None], fire: Callable[[], None]) -> None:
        """Whom to tell: `following` gives the next time at which something is due, `fire` does what is due now."""
        self._next, self._fire = following, fire

    def now(self) -> dt.datetime:
        """The time, in UTC."""
        return dt.datetime.now(dt.UTC) + self._offset

    def reset(self) -> None:
        """Back to real time."""
        self._offset = dt.timedelta()

    def advance(self, seconds: float) -> None:
        """Move forward; what falls due on the way is fired at its own time, in order."""
        self.set(self.now() + dt.timedelta(seconds=seconds))

    def set(self, moment: dt.datetime) -> None:
        """Move to a time (with its zone); only what falls due on the way forward is fired."""
        with self._moving:
            while (due := self._next()) is not None and due <= moment:
                self._jump(max(due, self.now()))
                self._fire()
            self._jump(moment)

    def tick(self) -> None:
        """Fire what is due by now: what makes real time count, where somebody calls it each second."""
        with self._moving:
            self._fire()

    def _jump(self, moment: dt.datetime) -> None:
        self._offset = moment - dt.datetime.now(dt.UTC)
