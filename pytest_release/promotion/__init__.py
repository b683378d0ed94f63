"""The decision that a release may go to an environment.

It believes verified attestations, the policy and the history, and nothing else.
"""
