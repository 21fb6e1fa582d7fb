"""Agents: their networks and policies, their files, their checkpoints."""
