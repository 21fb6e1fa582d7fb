"""Tests of files of 2018 and 2019."""
