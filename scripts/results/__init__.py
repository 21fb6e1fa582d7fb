"""Fill the tables of README.md and docs/ from what commands wrote: `python -m scripts.results [--check]`.

Each table stands between `<!-- results:NAME -->` and `<!-- end -->`; nothing in it is typed by hand.
A module holds the tables of one subject, a function each."""
