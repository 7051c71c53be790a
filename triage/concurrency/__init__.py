"""Locks, batches and rate limits."""
