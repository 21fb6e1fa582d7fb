"""Figures for talks, papers and pages: real and dreamt frames side by side, each with a caption.

Flow: a real drive -> the dream under its actions -> a table of labelled frames -> a file with a caption."""
