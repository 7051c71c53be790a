"""The model as the worker uses it: bundle, ONNX session, scores."""
