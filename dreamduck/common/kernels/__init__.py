"""Code that is compiled by numba, with its cache, and products of small matrices."""
