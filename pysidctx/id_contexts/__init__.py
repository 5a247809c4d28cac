"""Session id contexts: set, derived, and what they are derived from."""
