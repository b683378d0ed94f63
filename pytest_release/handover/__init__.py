"""From verified bundles, and the reports that they answer, to the documents that are handed over.

What a document says of a run comes from the bundle and from nothing else: nobody can write that a
release was green when it was not.
"""
