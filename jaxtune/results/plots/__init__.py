"""Pictures of results, drawn from plain arrays: of a search, and of what the functions of `practice` found."""
