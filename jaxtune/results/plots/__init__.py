"""Pictures of a search, drawn from plain arrays, and what all pictures have in common."""
