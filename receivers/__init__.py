"""How instances come in: each receiver turns one transport into `Intake.accept`."""
