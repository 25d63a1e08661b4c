"""The control channel of a worker-manager, for any Python program that it starts. Python 3.8 and later, the standard library.

    import conveyor_control

    control = conveyor_control.from_env()
    for step in steps:
        control.checkpoint()      # waits while paused; raises Terminated when the process is to end
        do(step)

A program that no manager has started may call all of it: nothing happens.
"""

import json
import os
import select
import socket
import sys
import time

__all__ = ["Control", "Terminated", "from_env"]

_LINE_BYTES = 65536


class Terminated(Exception):
    """The manager wants this process to end. What the job answers still counts.

    `shed`: for want of memory or processors; the job is to be done again, and that is not its fault.
    """

    def __init__(self, shed=False):
        super().__init__("the worker is to end")
        self.shed = shed


def from_env(name="", end_with_manager=True):
    """The channel this process was started with, or one that does nothing."""
    number = os.environ.pop("CONVEYOR_CONTROL_FD", None)
    if number is None:
        return Control(None, name, end_with_manager)
    os.environ.pop("LISTEN_FDS", None)
    # Programs that this one starts are no performers.
    os.set_inheritable(int(number), False)
    return Control(socket.socket(fileno=int(number)), name, end_with_manager)


class Control:
    def __init__(self, channel, name, end_with_manager):
        self.hello = {}
        self._channel = channel
        self._end_with_manager = end_with_manager
        self._input = b""
        self._sequence = 0
        self._paused = False
        self._to_settle = None
        self._terminated = False
        self._shed = False
        self._jobs = {}
        if channel is not None:
            channel.settimeout(1)
            name = name or os.path.basename(sys.argv[0] or "python")
            self._say(type="hello", version=1, codec="json", pid=os.getpid(), name=name, kind="python")

    def checkpoint(self):
        """Hears what the manager says, and does not return while it wants a pause. Call it between the steps of a job."""
        self._hear(0)
        while self._paused and not self._terminated:
            self._settle("paused")
            self._hear(None)
        self._settle("resumed")
        if self._terminated:
            raise Terminated(self._shed)

    def is_terminated(self):
        """Whether the manager wants this process to end; does not wait for the end of a pause."""
        self._hear(0)
        return self._terminated

    def job_started(self, handle, function):
        """A job was taken."""
        self._jobs[handle] = time.monotonic()
        self._say(type="job_started", handle=handle, function=function)

    def job_ended(self, handle, ok):
        """A job was answered."""
        took = time.monotonic() - self._jobs.pop(handle, time.monotonic())
        self._say(type="job_ended", handle=handle, ok=bool(ok), ms=round(1000 * took))

    def note(self, text):
        """Something for the manager's log."""
        self._say(type="note", text=text)

    def _settle(self, kind):
        if self._to_settle is not None:
            self._say(type=kind, sequence=self._to_settle)
            self._to_settle = None

    def _hear(self, seconds):
        """Reads what is there, or waits for something."""
        while self._channel is not None:
            if not select.select([self._channel], [], [], seconds)[0]:
                return
            try:
                part = self._channel.recv(8192)
            except OSError:
                part = b""
            if not part:
                self._gone()
                return
            self._input += part
            *lines, self._input = self._input.split(b"\n")
            for line in lines:
                self._obey(line)
            if len(self._input) > _LINE_BYTES:
                self._gone()
            seconds = 0

    def _obey(self, line):
        if self._channel is None:
            return
        try:
            said = json.loads(line)
            kind, sequence = said["type"], int(said.get("sequence", 0))
        except (ValueError, TypeError, KeyError):
            print("the manager is not understood: its channel is closed", file=sys.stderr)
            self._channel.close()
            self._channel, self._paused = None, False
            return
        if kind == "hello":
            self.hello = said
            return
        if kind == "terminate":
            self._terminated, self._shed = True, bool(said.get("shed", False))
        elif kind in ("pause", "resume"):
            # The newest counts, in whatever order they come.
            if sequence >= self._sequence:
                self._sequence, self._to_settle = sequence, sequence
                self._paused = kind == "pause"
        elif kind != "ping":
            self.note("a message of type %s was passed over" % kind)
            return
        self._say(type="ack", sequence=sequence)

    def _gone(self):
        self._channel.close()
        self._channel, self._paused = None, False
        self._terminated = self._terminated or self._end_with_manager

    def _say(self, **message):
        if self._channel is None:
            return
        try:
            self._channel.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError:
            # A manager that does not read for a second is told nothing more.
            self._gone()
