"""From the shipped convolutions and a few photos of other classes to a network of its own."""
