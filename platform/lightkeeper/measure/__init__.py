"""Pure measuring: frames and numbers in, values out. No I/O, no clock, no tables."""
