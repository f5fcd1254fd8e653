"""The pipe between ML program and SL node, wire version 2: messages, frames, and the program's side of it."""
