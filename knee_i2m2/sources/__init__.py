"""The only input: volumes, annotations, splits and what a folder of them holds."""
