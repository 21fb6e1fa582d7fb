"""Programs for those who develop the package; run by path or by make."""
