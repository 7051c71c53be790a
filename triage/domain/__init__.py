"""Values and decisions of the triage worker; imports the standard library alone."""
