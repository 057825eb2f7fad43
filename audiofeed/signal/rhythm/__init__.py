"""Definitions of tempo axes."""
