"""The evaluation card of a world model: how true its dreams are, measured in the simulator's units."""
