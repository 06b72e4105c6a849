"""The program ``driver_ranking replay``: gives a logged answer again, and says whether it is the same."""
