"""How long a test waits before it takes something for stuck."""

PATIENCE = 60.0
"""Seconds. What is asked for takes one or two, more on a busy machine; what a test rules out takes minutes."""
