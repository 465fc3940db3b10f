"""The versioned lake: the only floor that imports deltalake. It knows no Dagster, no model and no dataset's name."""
