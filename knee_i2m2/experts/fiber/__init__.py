"""FIBER (Dou et al., 2022): Swin and RoBERTa with fusion in the last blocks, under its checkpoint's names."""
