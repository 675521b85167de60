"""Two graphs as one: normal form, matching, merging, and the differences in words."""
