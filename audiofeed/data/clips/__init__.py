"""The clips of a dataset in columns, and one example loaded from them."""
