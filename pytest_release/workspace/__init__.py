"""The documents that teams hand to one another: their names, their forms, reading and writing them.

A workspace is a folder of Markdown files: reports, the responses to them, test reports; and a
folder of releases, each with its release info. What reads them believes nothing: sizes, lines and
numbers of files are bounded, links are not followed, and what is wrong with a document is a flaw
with its line, never an exception.
"""
