"""The values of this deployment: where its state lives. Their classes live in the library."""

import os
from datetime import date
from pathlib import Path

import lightkeeper as lk

PROJECT = Path(__file__).resolve().parent.parent
HOME = lk.Home.find(PROJECT, os.environ)
FIRST_DAY = (HOME.record.first_day if HOME.exists else None) or date(2024, 1, 1)

RESOURCES = {
    "io_manager": lk.LakeIOManager(root=str(HOME.lake), home=str(HOME.root)),
    "landing": lk.LandingFolder(home=str(HOME.root)),
}

__all__ = ["FIRST_DAY", "HOME", "PROJECT", "RESOURCES"]
