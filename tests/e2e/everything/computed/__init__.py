"""On-demand feature views in a folder of their own."""
