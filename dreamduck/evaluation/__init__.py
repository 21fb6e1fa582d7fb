"""Evaluation: policies on the road and in the dream, and the accuracy of dreams."""
