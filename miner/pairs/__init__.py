"""The exact band join and what is built on it -> pairs/ and calibration.json."""
