"""What reads the state and the motion of a car from frames and from [z, h]."""
