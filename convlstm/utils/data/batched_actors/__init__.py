"""The generator's actors drawn by torch, for many moments at once: `actors.batched` makes one of each."""
