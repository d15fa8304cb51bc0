"""What the service reports about itself: request IDs, logs, metrics, traces."""
