"""The operators of MXNet, a family a file; importing a file registers its functions. emit.py imports all of them."""
