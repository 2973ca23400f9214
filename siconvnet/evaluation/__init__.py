"""What is measured of a trained model: accuracy by scale, equivariance errors, chosen scales."""
