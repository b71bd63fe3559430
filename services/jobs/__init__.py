"""Sweeps as jobs: the queue is the lab database's, the jobs are Ray's."""
