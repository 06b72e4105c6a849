"""REST: connections, bodies, paths."""
