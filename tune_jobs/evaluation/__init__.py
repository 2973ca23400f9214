"""What is measured of finished trials beside their accuracy, and for which of them."""
