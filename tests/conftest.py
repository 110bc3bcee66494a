"""Settings that must stand before torch is imported."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see flows/environment.py
os.environ.setdefault("DO_NOT_TRACK", "1")
