"""Definitions of inverses: synthesis bases and tables for non-negative least squares."""
