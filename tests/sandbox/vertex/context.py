"""What the services share."""

import datetime as dt
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox.storage.buckets import Buckets
from tests.sandbox.vertex.operations import Operations


@dataclass
class Context:
    """One lock for all state (a call changes it under the lock), the buckets, the operations, the clock, and where to say what happens."""

    folder: Path
    buckets: Buckets
    now: Callable[[], dt.datetime]
    say: Callable[[str], None]
    lock: Any = field(default_factory=threading.RLock)
    operations: Operations = field(default_factory=Operations)

    def beside(self, work: Callable[[], Any]) -> None:
        """Do what takes time without the lock."""
        threading.Thread(target=work, daemon=True).start()
