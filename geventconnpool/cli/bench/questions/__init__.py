"""One question a module: what is measured, how, and which bar it has to pass."""
