"""What tests of several kinds share, those of who uses the library among them."""
