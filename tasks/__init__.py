"""Steps of work: plain functions that read files, call ``models/`` and write files atomically."""
