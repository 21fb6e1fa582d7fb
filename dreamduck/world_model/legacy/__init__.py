"""Weights as the code of 2019 and World Models kept them."""
