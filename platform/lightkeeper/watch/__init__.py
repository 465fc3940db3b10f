"""What is noticed: tables, models and runs looked at, verdicts reached. It reads the lake, knows no Dagster, and trains nothing."""
