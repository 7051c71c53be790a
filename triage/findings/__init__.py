"""The configured findings: their file format, the loader, and the shipped files (README.md)."""
