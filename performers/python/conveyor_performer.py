"""Does one job after another under `conveyor worker --persistent`. Python 3.8 and later, the standard library only.

    import conveyor_performer

    def reverse(job):
        job.progress(1, 2)
        return job.payload[::-1]

    conveyor_performer.run(reverse)

What is returned is the result: bytes, a str (sent as UTF-8) or None. What is raised ends the job as an exception, or
as a plain failure when it is `Failed`; the process lives on. print() is noise and harms nothing. A process that exits
in the middle of a job has crashed: the job goes back to the server.
"""

import os
import re
import sys
import traceback

__all__ = ["Failed", "Job", "run"]

_MESSAGES_FD = 3
_JOBS_FD = 4
_JOB = re.compile(rb"job ([0-9]+) ([0-9]+) ([0-9]+) ([0-9]+)\n")


class Failed(Exception):
    """Raised by a job that fails without being an exception."""


class Job:
    """A job; `function`, `handle`, `unique` and `payload` are bytes."""

    def __init__(self, messages, handle, function, unique, payload):
        self._messages = messages
        self.handle = handle
        self.function = function
        self.unique = unique
        self.payload = payload

    def progress(self, numerator, denominator):
        """So many parts of so many are done."""
        if numerator < 0 or denominator < 0:
            raise ValueError("progress is counted from 0")
        self._messages.write(b"progress %d %d\n" % (numerator, denominator))
        self._messages.flush()

    def data(self, data):
        """Sends a part of the result."""
        _message(self._messages, b"data", _bytes(data))

    def warning(self, text):
        """Sends a warning."""
        _message(self._messages, b"warning", _bytes(text))


def run(perform):
    """Does jobs until it is told to stop."""
    if "CONVEYOR_PERSISTENT" not in os.environ:
        sys.exit("run this as: conveyor worker -f FUNCTION --persistent -- python3 FILE")
    # Programs started by a job have no use for them.
    os.set_inheritable(_MESSAGES_FD, False)
    os.set_inheritable(_JOBS_FD, False)
    with os.fdopen(_MESSAGES_FD, "wb") as messages, os.fdopen(_JOBS_FD, "rb") as jobs:
        messages.write(b"ready 1\n")
        messages.flush()
        while True:
            job = _next(jobs, messages)
            if job is None:
                return
            try:
                word, result = b"complete", _bytes(perform(job))
            except Failed as failed:
                word, result = b"fail", _bytes(str(failed))
            except Exception as error:  # What a job raises is its outcome.
                traceback.print_exc()
                word, result = b"exception", _bytes("%s: %s" % (type(error).__name__, error))
            _flush_noise()
            _message(messages, word, result)


def _next(jobs, messages):
    """The next job; None when there will be none."""
    line = jobs.readline(256)
    if line in (b"", b"stop\n"):
        return None
    lengths = _JOB.fullmatch(line)
    if lengths is None:
        raise RuntimeError("not a job: %r" % line)
    handle, function, unique, payload = (_read(jobs, int(length)) for length in lengths.groups())
    return Job(messages, handle, function, unique, payload)


def _read(jobs, length):
    data = jobs.read(length)
    if len(data) != length:
        raise RuntimeError("a job without its end")
    return data


def _message(messages, word, data):
    messages.write(b"%s %d\n" % (word, len(data)))
    messages.write(data)
    messages.flush()


def _bytes(value):
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError("a result must be bytes, str or None, not %s" % type(value).__name__)


def _flush_noise():
    """Noise belongs to the job that made it; nobody waits for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
