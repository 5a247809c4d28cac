"""What sessions take that are stored in a SessionCache, where client certificates come back."""
