"""Puts this folder on the path of every test, for what tests share: cases.py, and the emulator of CUDA."""

import signal


def pytest_configure() -> None:
    # A shell starts a command in its background with Ctrl-C ignored, and so would be every process of these tests.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
