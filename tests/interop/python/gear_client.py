"""Client on gear; see ../README.md."""
import os
import sys
import threading

import gear

host, port, operation, function, input_path, output_path = sys.argv[1:7]
extra = sys.argv[7] if len(sys.argv) > 7 else ""
payload = open(input_path, "rb").read()


def say(line):
    # In one piece: several threads have something to say.
    os.write(1, (line + "\n").encode())


class Client(gear.Client):
    """Prints what happens; `over` counts the jobs that ended."""

    def __init__(self):
        self.over = threading.Semaphore(0)
        super().__init__()

    def handleWorkStatus(self, packet):
        job = super().handleWorkStatus(packet)
        say(f"STATUS {job.numerator.decode()}/{job.denominator.decode()}")
        return job

    def handleWorkData(self, packet):
        say("DATA " + packet.getArgument(1, True).decode())
        return super().handleWorkData(packet)

    def handleWorkWarning(self, packet):
        say("WARNING " + packet.getArgument(1, True).decode())
        return super().handleWorkWarning(packet)

    def handleWorkFail(self, packet):
        say("FAIL")
        job = super().handleWorkFail(packet)
        self.over.release()
        return job

    def handleWorkException(self, packet):
        say("EXCEPTION " + packet.getArgument(1, True).decode())
        job = super().handleWorkException(packet)
        self.over.release()
        return job

    def handleWorkComplete(self, packet):
        result = packet.getArgument(1, True)
        job = super().handleWorkComplete(packet)
        if operation != "many":
            open(output_path, "wb").write(result)
            say("COMPLETE")
        self.over.release()
        return job


PRECEDENCE = {"normal": gear.PRECEDENCE_NORMAL, "high": gear.PRECEDENCE_HIGH, "low": gear.PRECEDENCE_LOW}
if operation == "epoch":
    sys.exit(3)
client = Client()
client.addServer(host, int(port))
client.waitForServer()
client.setOption("exceptions") if hasattr(client, "setOption") else None


def submit(job, background=False, precedence=gear.PRECEDENCE_NORMAL):
    client.submitJob(job, background=background, precedence=precedence, timeout=60)
    if operation != "many":
        say("CREATED")


def wait(count):
    for _ in range(count):
        if not client.over.acquire(timeout=60):
            sys.exit("a job did not end")


name = function.encode()
if operation in PRECEDENCE:
    submit(gear.Job(name, payload), precedence=PRECEDENCE[operation])
    wait(1)
elif operation in ("bg", "high_bg", "low_bg"):
    submit(gear.Job(name, payload), True, PRECEDENCE[{"bg": "normal"}.get(operation, operation[:-3])])
elif operation == "unique":
    # gear keeps one job object a handle, so that the second end is not reported to the first.
    sys.exit(3)
elif operation == "many":
    jobs = [gear.Job(name, payload + b" %d" % i) for i in range(200)]
    for job in jobs:
        submit(job)
    wait(200)
    say("MANY %d" % sum(b"".join(job.data) == job.arguments[::-1] for job in jobs))
client.shutdown()
