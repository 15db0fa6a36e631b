"""Puts this folder on the path of every test, for what tests share: cases.py, and the emulator of CUDA."""
