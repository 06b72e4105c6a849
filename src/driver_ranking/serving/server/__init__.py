"""What extends MLServer: its parts, replaced, and what is spoken over REST and gRPC."""
