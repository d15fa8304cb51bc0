"""Endpoints for what people bring of their own: classes to teach."""
