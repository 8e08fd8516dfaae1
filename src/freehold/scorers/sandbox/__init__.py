"""Where code that nobody has read is run: `launch` makes the box, `inside` is what runs in it. Both are scripts."""
