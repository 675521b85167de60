"""What the `inspector` command can do: one file a family of commands."""
