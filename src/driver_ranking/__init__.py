"""Serve one driver-ranking model in batch and online, from one feature repo, with the same scores."""
