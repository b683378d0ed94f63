"""The release archive: read in one pass, never unpacked, and nothing in it believed."""
