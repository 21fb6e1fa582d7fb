"""Probes that read the state and the motion of a car from frames and from [z, h]."""
