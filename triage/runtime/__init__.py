"""Composition: settings in, running processes out."""
