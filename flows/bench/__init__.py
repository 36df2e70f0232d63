"""Measurements too long for a test: ``nightfolio bench NAME``. One bench a file; each prints its protocol first."""
