import os
import subprocess
import sys
from pathlib import Path

#: With any of these ONNX Runtime is silent by itself.
SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS", "TF_BUILD")


def test_onnx_runtime_tells_nobody_what_runs_here(tmp_path: Path) -> None:
    """It would keep a file for that in the folder for temporary files."""
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    command = [sys.executable, "-c", "import triage.model.encoder"]
    subprocess.run(command, check=True, env={**environment, "TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
