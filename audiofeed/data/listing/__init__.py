"""Where a list of clips comes from: folders that are scanned, headers, tables and names of files."""
