"""The layers of a check, one file each; `order.py` lists them."""
