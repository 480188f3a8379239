"""Write the golden specs anew."""

import compile as compile_command
from tests.pipelines.golden import GOLDEN, golden_text

for name in compile_command.pipelines():
    (GOLDEN / f"{name}.yaml").write_text(golden_text(name))
