"""The freehold command: thin."""
