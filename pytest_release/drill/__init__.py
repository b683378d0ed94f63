"""The drill: every fault of the sandbox in turn, and the gate that must catch it."""
