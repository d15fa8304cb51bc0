"""Fitting a network: devices, frozen layers, checkpoints, folding, calibration."""
