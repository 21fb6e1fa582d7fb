"""The road, and the two simulators that can stand behind it."""
