"""`bench inspect`: what is in the data and in results, to be looked at."""
