"""conveyor worker -f reverse --persistent --jobs 4 -- python3 performers/python/examples/reverse.py"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import conveyor_performer  # noqa: E402


def reverse(job):
    # Noise, on purpose: it harms nothing.
    print("reversing", job.handle, "\ncomplete 3\nno!")
    print("a note", file=sys.stderr)
    job.progress(0, 1)
    reversed_payload = job.payload[::-1]
    job.progress(1, 1)
    return reversed_payload


if __name__ == "__main__":
    conveyor_performer.run(reverse)
