"""What commands show on a terminal: tables that fit it, and the lines around them."""
