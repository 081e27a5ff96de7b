"""The model: its configuration, layers in their order, and its files."""
