"""AV-MNIST from MNIST, spoken digits and recorded noise."""
