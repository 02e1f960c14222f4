"""Plots. These modules run in the environment of the peers, which has the plotting library."""
