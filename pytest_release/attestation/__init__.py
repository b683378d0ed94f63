"""Statements about a run, signed: in-toto statements in DSSE envelopes, and their verification.

The only package that knows securesystemslib. Whatever the bytes, verification raises
`pytest_release.errors.VerificationError` and nothing else.
"""
