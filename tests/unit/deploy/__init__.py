"""What a site installs from: deploy/ must say what the code does."""
