"""What a study passes through: intake, assessment, delivery."""
