"""Failures of the engine in one line each, with the mend; without importing torch."""

from __future__ import annotations

import signal

from ..core.errors import EngineError, PapernetsError

UNHARMED = "Nothing in the viewer was lost, and the next run starts a new engine"
BROKEN_LINE = "it sent what may not cross"
NO_ROOM = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
HINTS = {"SIGKILL": "killed, often because memory ran out", "SIGSEGV": "a crash in native code"}


def readable(error: Exception) -> PapernetsError:
    """An error of a verb as one that may cross and that a person can read; our own ones as they are."""
    if isinstance(error, PapernetsError):
        return error
    line = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    if is_out_of_memory(error):
        mend = "choose smaller tiles, a smaller region or another device, or close other programs"
        return EngineError(f"The engine ran out of memory ({line}): {mend}")
    return EngineError(
        f"The engine met an error that it did not expect ({line}). Nothing in the viewer was lost; "
        "the diagnostics hold the details"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy or torch (on any device and system) found no room."""
    words = str(error).lower()
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    may_say_so = isinstance(error, RuntimeError | OSError)
    return known or (may_say_so and any(phrase in words for phrase in NO_ROOM))


def not_handed_over(error: Exception) -> PapernetsError:
    """Why data could not be brought to the engine."""
    if isinstance(error, PapernetsError):
        return error
    line = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError | OSError):
        return EngineError(
            f"There is no memory to hand the data to the engine ({line}): close other layers"
        )
    return EngineError(f"The data could not be handed to the engine ({line})")


def why_ended(
    reason: str,
    returncode: int | None,
    *,
    started: bool = True,
    last_line: str = "",
    limit_gb: float | None = None,
) -> EngineError:
    """One line on the end of an engine's process.

    Parameters
    ----------
    reason : str
        Why we killed it: "memory", "cancel" (of another job), `BROKEN_LINE`; anything else where others
        did, or it itself.
    returncode : int or None
        As `subprocess` gives it.
    started : bool
        Whether it was ever ready.
    last_line : str
        The last of its output.
    limit_gb : float, optional
        Its memory limit.
    """
    if reason == "memory" and limit_gb is not None:
        mend = "choose smaller tiles or a smaller region, or raise the limit"
        limit = f"its memory limit of {limit_gb:g} GB"
        return EngineError(f"The engine was stopped at {limit}: {mend}. {UNHARMED}")
    if reason == "cancel":
        why = "another job did not end when it was cancelled"
        return EngineError(f"The engine was started again, since {why}. Nothing in the viewer was lost")
    how = reason if reason == BROKEN_LINE else describe_end(returncode)
    if not started:
        mend = "reinstall napari-papernets, or report this with the diagnostics"
        said = f": {last_line}" if last_line else ""
        return EngineError(f"The engine could not start ({how}{said}); {mend}")
    return EngineError(f"The engine process ended in the middle of its work ({how}). {UNHARMED}")


def describe_end(returncode: int | None) -> str:
    """How a process ended, in words."""
    if returncode is None:
        return "there is no process"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
    return f"{name}: {HINTS[name]}" if name in HINTS else name
