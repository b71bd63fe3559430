"""Analysis: from what the lab database holds to effects with intervals. Only `data` knows the database."""
