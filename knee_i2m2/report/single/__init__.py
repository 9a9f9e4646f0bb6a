"""Single cases: pictures, saliency, the case browser."""
