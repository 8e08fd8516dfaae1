"""A request in, who answers it out. Reads the policy; pure but for the policy watch."""
