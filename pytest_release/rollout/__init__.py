"""Rollouts: a plan's steps are done in order, and every one of them is written down.

- What is about to be done is in the journal before it is begun (`journal`); what came of it is
  there before anything else is begun. `kill -9` at any moment loses nothing that was done.
- What is next follows from the plan and the journal alone (`course`), so that a rollout goes on
  as it would have.
- One driver an environment (`lock`).
- An adapter (``adapters/``) does one thing and says what came of it; it decides nothing.
"""
