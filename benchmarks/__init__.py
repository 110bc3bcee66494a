"""Side-by-side measurements; their tables lie beside them, with machine and versions."""
