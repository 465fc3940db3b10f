"""Models: declared, trained, kept, asked. The only floor that imports lightgbm; it knows no Dagster."""

import os

__all__: list[str] = []

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads give their core away; read when lightgbm loads
