"""Methods that compute features: torch functions, no nn.Module."""
