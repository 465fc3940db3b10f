"""Models: declared, trained, kept, asked. The only floor that imports lightgbm; it knows no Dagster."""
