"""Stands in for the package of this name, so that a submission drives in the mock engine."""
