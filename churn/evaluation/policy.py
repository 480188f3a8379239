"""What opens the gate: configs/churn.yaml, gate:."""

from pydantic import Field

from churn.platform.checked import Checked


class GatePolicy(Checked):
    """The threshold, the least gain over the champion, and whether a champion that cannot be scored closes the gate."""

    min_auc_pr: float = Field(gt=0, le=1)
    min_gain: float = Field(ge=-1, le=1)
    replace_champion: bool
