"""The counting service: HTTP in front of a counter, bounded in everything that a client can make it do."""
