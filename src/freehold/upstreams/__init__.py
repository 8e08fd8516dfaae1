"""One folder per wire protocol, and the seam they share."""
