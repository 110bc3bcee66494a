"""Order of work: one module per DVC stage, and the parent flow that runs them all."""
