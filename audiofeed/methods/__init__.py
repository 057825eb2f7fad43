"""How a feature is computed: torch functions, no nn.Module."""
