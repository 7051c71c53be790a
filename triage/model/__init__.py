"""The model as the worker uses it: bundle, ONNX session, scores.

Rule: nobody is told what runs here. ONNX Runtime from 1.29 on tells its maker of every session in
its builds for Linux (names and digests of models, machines), and keeps a file in the folder for
temporary files for that. This is the switch that it reads when it is loaded, hence here, where it
is not loaded yet; for `disable_telemetry_events` the first event has been.
"""

import os

os.putenv("ORT_DISABLE_TELEMETRY", "1")
