"""Measurements: what is claimed, measured beside its peers, with the means to measure it again."""
