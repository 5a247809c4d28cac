"""Data structures that any thread can read while another thread changes them."""
