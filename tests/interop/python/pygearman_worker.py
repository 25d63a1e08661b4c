"""Worker on pygearman; see ../README.md."""
import os
import sys
import time

import gearman

host, port = sys.argv[1:3]


class Raw(gearman.DataEncoder):
    """Payloads are bytes."""

    @classmethod
    def encode(cls, encodable_object):
        return encodable_object

    @classmethod
    def decode(cls, decodable_string):
        return decodable_string


class Worker(gearman.GearmanWorker):
    data_encoder = Raw

    def on_job_exception(self, current_job, exc_info):
        self.send_job_exception(current_job, str(exc_info[1]).encode())
        self.send_job_failure(current_job)
        return True

    def on_job_complete(self, current_job, job_result):
        if job_result is None:
            self.send_job_failure(current_job)
            return True
        return super().on_job_complete(current_job, job_result)


def status(worker, job):
    for part in (1, 2, 3):
        worker.send_job_status(job, part, 3)
    return b"done"


def data(worker, job):
    worker.send_job_data(job, b"part1")
    worker.send_job_data(job, b"part2")
    return b"done"


def warn(worker, job):
    worker.send_job_warning(job, b"careful")
    return b"done"


def exception(worker, job):
    raise RuntimeError("boom")


def hang(worker, job):
    if os.path.exists(job.data):
        return b"second"
    open(job.data, "w").close()
    time.sleep(60)
    return b"too late"


def log(worker, job):
    path, line = job.data.decode().split("\n", 1)
    with open(path, "a") as file:
        file.write(line + "\n")
    return b"done"


worker = Worker(["%s:%s" % (host, port)])
worker.register_task(b"reverse", lambda worker, job: job.data[::-1])
worker.register_task(b"echo", lambda worker, job: job.data)
worker.register_task(b"empty", lambda worker, job: b"")
worker.register_task(b"status", status)
worker.register_task(b"data", data)
worker.register_task(b"warn", warn)
worker.register_task(b"fail", lambda worker, job: None)
worker.register_task(b"exception", exception)
worker.register_task(b"hang", hang)
worker.register_task(b"log", log)
worker.work()
