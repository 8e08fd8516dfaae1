"""A certificate in, a new policy version out; and the way back."""
