"""The interactive page: what it knows as data, how that is packed, and the HTML and widget that show it."""
