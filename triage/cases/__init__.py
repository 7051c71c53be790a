"""Past cases: their vectors, who is near to whom, and how much a nearness means."""
