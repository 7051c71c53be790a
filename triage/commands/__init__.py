"""Commands of the command line that have parts of their own. No logic here either."""
