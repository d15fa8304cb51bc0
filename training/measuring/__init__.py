"""Measuring a network: metrics with intervals, photos in disguise, plots."""
