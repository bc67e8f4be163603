"""Corefile text to server blocks and directives; every token keeps file, line and column.

Rule: pure. Files, globs and the environment come in through a `Reader`; all mistakes of a file are collected.
"""
