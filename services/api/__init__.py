"""The REST API over the lab database."""
