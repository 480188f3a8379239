"""A step that fails for good fails once here: kfp.local would obey the retries that are meant for Vertex AI."""

import re
import time


def test_a_local_run_tries_no_step_again(shop):
    broken = shop.altered("broken", ("return (fingerprint_sources(", "return (no_such_name("))
    begin = time.monotonic()
    assert shop.submit(spec=broken) == 1
    assert time.monotonic() - begin < 25  # one wait alone would be 30 s
    assert shop.states(shop.latest)["fingerprint"] == "failed"
    log = (shop.root / "runs" / "latest" / "logs" / "fingerprint.log").read_text()
    assert len(re.findall("NameError: ", log)) == 1
