"""What the smoke night gave when its result was last looked at and accepted (see tests/flows/test_nightly.py)."""
