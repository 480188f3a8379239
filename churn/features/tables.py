"""A feature table as it lies on disk: customers at snapshots, features as of then, and whether they churned."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from churn.platform.files import check_seal, read_json

if TYPE_CHECKING:
    import pandas as pd

TABLE = "rows.parquet"
FACTS = "facts.json"


@dataclass(frozen=True)
class FeatureTable:
    """The rows of one window.

    rows: customer_id, snapshot, churned (0 or 1), and one column for each feature. features: their names, in order.
    snapshots: ISO 8601. labels_until: the end of the last label window.
    """

    rows: "pd.DataFrame"
    features: list[str]
    snapshots: tuple[str, ...] = ()
    labels_until: str = ""

    @classmethod
    def read(cls, folder: str | Path) -> "FeatureTable":
        """Read one window's folder, its files checked against their hashes."""
        import pandas as pd

        check_seal(folder)
        facts = read_json(Path(folder) / FACTS)
        return cls(pd.read_parquet(Path(folder) / TABLE), facts["features"], tuple(facts["snapshots"]), facts["labels_until"])
