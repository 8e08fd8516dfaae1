"""A support desk's traffic from a grammar, played against the real gateway and loop."""
