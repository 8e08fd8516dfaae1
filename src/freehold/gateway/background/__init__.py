"""What the gateway asks beside the answers it gives: audits, repeats, shadows, and the bound on their cost."""
