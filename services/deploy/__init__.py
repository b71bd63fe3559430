"""The cluster: its image, its secrets, its first start."""
