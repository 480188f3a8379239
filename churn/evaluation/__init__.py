"""How good the model is on the untouched test window, and whether it may go live."""
