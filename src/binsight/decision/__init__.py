"""Pure functions over estimates: scores, intervals, calibration."""
