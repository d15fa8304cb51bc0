"""The endpoints, one file per family. Each reads a request, calls a step that knows no HTTP, and shapes the answer."""
