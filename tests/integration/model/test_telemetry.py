import os
import subprocess
import sys
from pathlib import Path

#: Any of these variables disables the telemetry of ONNX Runtime.
SWITCHES = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI", "GITHUB_ACTIONS", "TF_BUILD")


def test_onnx_runtime_sends_no_telemetry(tmp_path: Path) -> None:
    """Telemetry would write a file into the folder for temporary files."""
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    command = [sys.executable, "-c", "import triage.model.encoder"]
    subprocess.run(command, check=True, env={**environment, "TMPDIR": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
