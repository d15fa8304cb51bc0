"""Request and response schemas, one module per family of endpoints, with the examples that Swagger UI shows."""
