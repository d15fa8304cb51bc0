"""What is asked and answered about what people bring of their own."""
