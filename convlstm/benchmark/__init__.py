"""How fast detection is here, beside what it replaces."""
