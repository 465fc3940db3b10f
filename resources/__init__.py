"""The values of this deployment: where its state lives. Their classes live in the library."""

import os
from pathlib import Path

import lightkeeper as lk

HOME = lk.Home.find(Path(__file__).resolve().parent, os.environ)
RESOURCES = lk.resources(HOME)

__all__ = ["HOME", "RESOURCES"]
