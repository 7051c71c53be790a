"""The migration steps, each with its own revision and the revision before it."""
