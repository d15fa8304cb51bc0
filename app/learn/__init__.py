"""What people corrected comes in; a new version of the network that was wrong goes out, if it is better."""
