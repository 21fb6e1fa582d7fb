"""The sections of a card; each is a function of dreams, real episodes, probes and settings."""
