"""Controllers, their files, and their evaluation in the three worlds."""
