"""The use cases that a study passes through: intake, assessment, delivery."""
