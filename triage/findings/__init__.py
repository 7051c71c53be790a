"""The configured findings: schema, loader, and the default file with the published seven."""
