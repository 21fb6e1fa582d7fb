"""Forms of files: archives of arrays, and weights."""
