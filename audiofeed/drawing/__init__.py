"""Pictures and tables of arrays and settings, for notebooks and files; nothing here knows a transform or a batch."""
