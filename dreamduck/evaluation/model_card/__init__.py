"""The evaluation card of a world model: the accuracy of its dreams, measured in the simulator's units."""
