"""The road, and its two simulators."""
