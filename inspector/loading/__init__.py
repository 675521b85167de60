"""Cells of users: found and run from their files, in processes of their own, and blamed by the line where they fail."""
