"""Real episodes that a card measures with, and the policies that drive on the road and in dreams."""
