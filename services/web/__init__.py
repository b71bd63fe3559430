"""The pages: rendered on the server from the lab database."""
