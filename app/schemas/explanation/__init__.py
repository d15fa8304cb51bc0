"""The shapes of explanations, with the descriptions that Swagger UI shows."""
