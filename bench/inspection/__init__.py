"""The output of `bench inspect` and `bench ls`."""
