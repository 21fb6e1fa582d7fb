"""A policy of dreamduck for the AI Driving Olympics."""
