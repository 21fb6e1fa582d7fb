"""The gauntlet: a deployed file drives in the native simulator, disturbed in one way after another."""
