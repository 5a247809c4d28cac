"""Data that any thread reads while another one changes it."""
