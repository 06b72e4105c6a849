"""gRPC: messages, methods, health."""
