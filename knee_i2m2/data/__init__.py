"""Data: samples in a prepared folder, how it is written, splits, parallel work."""
