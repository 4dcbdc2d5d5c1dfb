"""Darknet: NAME.cfg and NAME.weights, read without Darknet."""
