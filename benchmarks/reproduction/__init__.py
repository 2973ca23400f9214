"""The first reproduction: its records, and the page that is made from them."""
