"""Debian's Chromium, where it is installed."""

import shutil

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""The program's path, or None. The shell is the same browser without a window's parts, which cost a third of its time."""
