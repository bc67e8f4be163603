"""The processes. `solo` is all of them in one: the whole server in one loop.

Rule: roles put the layers together and hold the process: signals, limits, logging, exit status.
"""
