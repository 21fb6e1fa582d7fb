"""Real episodes that a card measures with, and the drivers that drive on the road and in dreams."""
