"""How well policies drive and how true dreams are."""
