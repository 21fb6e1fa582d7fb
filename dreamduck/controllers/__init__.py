"""Controllers, the search for good ones, and their judges."""
