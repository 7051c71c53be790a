"""Small mechanisms for concurrent work: batched calls, file locks and rate limits."""
