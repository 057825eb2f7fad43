"""What becomes of a batch between collate and features: its states, the live transform, streams and devices."""
