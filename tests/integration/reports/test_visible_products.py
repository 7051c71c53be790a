"""Page, rendered documents and messages: same input, same bytes; no data of other patients."""

import os
import subprocess
import sys
from pathlib import Path

from tests.builders.products import BUILDERS

ROOT = Path(__file__).parents[3]
ELSEWHERE = """
import sys
from hashlib import sha256
from tests.builders.reportings import KINDS
from tests.builders.products import BUILDERS
for kind in ("similar_cases", "japanese_name"):
    for build in BUILDERS.values():
        product = build(KINDS[kind]())
        print(sha256(product.content).hexdigest(), product.sop_instance_uid)
"""


def test_same_input_gives_same_bytes_in_another_process_and_time_zone() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    outputs = [
        subprocess.run(
            [sys.executable, "-c", ELSEWHERE],
            env={**environment, "TZ": zone},
            check=True,
            capture_output=True,
            cwd=ROOT,
        ).stdout
        for zone in ("UTC", "Asia/Tokyo")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 2 * len(BUILDERS)
