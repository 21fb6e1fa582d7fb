"""Tests of dreamduck.deployment."""
