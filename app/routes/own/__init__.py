"""Endpoints for what people bring of their own: classes to teach, and what is right where a network was wrong."""
