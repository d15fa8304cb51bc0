"""How a network comes to its answer: single units and stages worked out again, receptive fields, guises."""
