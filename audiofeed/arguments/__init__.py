"""Arguments of public classes: said, checked and documented once, and other libraries' names for them."""
