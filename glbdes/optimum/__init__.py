"""The best plan there is, by linear programmes with a certificate."""
