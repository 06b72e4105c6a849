"""The MLServer side: driver ids in, the best drivers out, over the V2 inference protocol."""
