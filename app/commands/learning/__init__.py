"""What people corrected comes in; a better network, an older one, or a report goes out: the commands about learning."""
