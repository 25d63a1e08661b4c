"""Client on pygearman; see ../README.md."""
import sys

import gearman

host, port, operation, function, input_path, output_path = sys.argv[1:7]
extra = sys.argv[7] if len(sys.argv) > 7 else ""
payload = open(input_path, "rb").read()


class Raw(gearman.DataEncoder):
    """Payloads are bytes."""

    @classmethod
    def encode(cls, encodable_object):
        return encodable_object

    @classmethod
    def decode(cls, decodable_string):
        return decodable_string


class Client(gearman.GearmanClient):
    data_encoder = Raw


def say(line):
    print(line, flush=True)


def text(update):
    return update.decode() if isinstance(update, bytes) else str(update)


def report(request):
    if request.status:
        say("STATUS %s/%s" % (request.status["numerator"], request.status["denominator"]))
    for update in request.data_updates:
        say("DATA " + text(update))
    for update in request.warning_updates:
        say("WARNING " + text(update))
    if request.exception:
        say("EXCEPTION " + text(request.exception))
    if request.state == gearman.JOB_COMPLETE:
        open(output_path, "wb").write(request.result)
        say("COMPLETE")
    else:
        say("FAIL")


PRIORITY = {"normal": None, "high": gearman.PRIORITY_HIGH, "low": gearman.PRIORITY_LOW}
client = Client(["%s:%s" % (host, port)])
if operation in PRIORITY:
    report(client.submit_job(function, payload, priority=PRIORITY[operation], poll_timeout=60))
elif operation in ("bg", "high_bg", "low_bg"):
    priority = PRIORITY[{"bg": "normal"}.get(operation, operation[:-3])]
    client.submit_job(function, payload, priority=priority, background=True, wait_until_complete=False)
    say("CREATED")
elif operation == "many":
    jobs = [{"task": function, "data": payload + b" %d" % i} for i in range(200)]
    requests = client.submit_multiple_jobs(jobs, poll_timeout=60)
    say("MANY %d" % sum(request.result == request.job.data[::-1] for request in requests))
else:
    # One connection a client, and two requests with one handle on it are one request to this library.
    sys.exit(3)
