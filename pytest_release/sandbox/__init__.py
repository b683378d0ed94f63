"""The embedded reference deployment: answers as the real systems do, misbehaves on demand."""
