"""NLVR2 and NLVR: sentences and pictures."""
