"""Products of experts over the magnitude and phase of raw knee MRI (I2M2)."""

__version__ = "0.1.0"
