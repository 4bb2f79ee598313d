"""What is shown of results: comparisons with their significance, leaderboards in every form."""
