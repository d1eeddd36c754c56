"""Figures: what is counted, by which definition."""
