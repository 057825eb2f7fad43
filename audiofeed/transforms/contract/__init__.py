"""What every transform keeps: settings, filters, shapes, lengths and precision."""
