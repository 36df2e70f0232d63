"""The rules files that are shipped: recommend.rules names one of them."""
