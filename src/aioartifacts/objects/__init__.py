"""The byte level: named byte strings on disk, in memory, in a bucket."""
