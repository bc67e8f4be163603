"""Compiles the two C programs, when their source is newer than what was built."""

import os
import subprocess
from pathlib import Path

from bench.errors import BenchError

SOURCES = Path(__file__).parent


def compiled(name: str, directory: Path = SOURCES / "build", compiler: str = "cc") -> Path:
    """Path of the program made from `bench/NAME.c`. Raises BenchError without a compiler that takes it."""
    source, program = SOURCES / f"{name}.c", directory / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    directory.mkdir(parents=True, exist_ok=True)
    # renamed when whole, so that two runs at once never start half a program
    unfinished = directory / f"{name}.{os.getpid()}"
    _compile([compiler, "-O2", "-o", str(unfinished), str(source)])
    unfinished.replace(program)
    return program


def _compile(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise BenchError(f"no C compiler: install {command[0]!r} (package gcc or clang)") from error
    except subprocess.CalledProcessError as error:
        first = next((line for line in error.stderr.splitlines() if "error" in line), "no reason given")
        raise BenchError(f"{command[0]} cannot compile {command[-1]}: {first}") from error
