"""Files and folders that appear whole, notice damage, and have a place."""
