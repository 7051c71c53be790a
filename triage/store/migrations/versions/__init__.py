"""The steps, each with the revision that it leads to and the one that it starts from."""
