"""Worker on gear; see ../README.md."""
import os
import sys
import time

import gear

host, port = sys.argv[1:3]
worker = gear.Worker("gear")
worker.addServer(host, int(port))
worker.waitForServer()
for function in ("reverse", "echo", "empty", "status", "data", "warn", "fail", "exception", "hang", "log"):
    worker.registerFunction(function)


def hang(path):
    if os.path.exists(path):
        return b"second"
    open(path, "w").close()
    time.sleep(60)
    return b"too late"


def log(payload):
    path, line = payload.decode().split("\n", 1)
    with open(path, "a") as file:
        file.write(line + "\n")
    return b"done"


while True:
    job = worker.getJob()
    name = job.name.decode() if isinstance(job.name, bytes) else job.name
    if name == "reverse":
        job.sendWorkComplete(job.arguments[::-1])
    elif name == "echo":
        job.sendWorkComplete(job.arguments)
    elif name == "empty":
        job.sendWorkComplete(b"")
    elif name == "status":
        for part in (1, 2, 3):
            job.sendWorkStatus(part, 3)
        job.sendWorkComplete(b"done")
    elif name == "data":
        job.sendWorkData(b"part1")
        job.sendWorkData(b"part2")
        job.sendWorkComplete(b"done")
    elif name == "warn":
        job.sendWorkWarning(b"careful")
        job.sendWorkComplete(b"done")
    elif name == "fail":
        job.sendWorkFail()
    elif name == "exception":
        job.sendWorkException(b"boom")
    elif name == "hang":
        job.sendWorkComplete(hang(job.arguments.decode()))
    elif name == "log":
        job.sendWorkComplete(log(job.arguments))
