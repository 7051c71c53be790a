"""The model as the worker uses it.

    bundle               the folder with everything that belongs to one exported model
    encoder              the two towers of a bundle in ONNX Runtime
    prompts              embeddings of the configured prompts, cached
    fitted               what was fitted from a finding's examples
    questions            the score function and threshold of each finding
    scoring              from embeddings to answers
    relevance            the frames that contributed most to a score
    out_of_distribution  the distance of a study from those that the model knows

ONNX Runtime from 1.29 on sends telemetry about every session in its Linux builds (names and digests
of models, machines), and keeps a file for it in the folder for temporary files. It reads the
switch below when it is loaded, so the switch is set here, before that; a later call of
`disable_telemetry_events` would come after the first event.
"""

import os

os.putenv("ORT_DISABLE_TELEMETRY", "1")
