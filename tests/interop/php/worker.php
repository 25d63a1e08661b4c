<?php
// Worker on PHP's extension; see ../README.md.
[, $host, $port] = $argv;
$worker = new GearmanWorker();
$worker->addServer($host, (int) $port);
$worker->addFunction('reverse', fn ($job) => strrev($job->workload()));
$worker->addFunction('echo', fn ($job) => $job->workload());
$worker->addFunction('empty', fn ($job) => '');
$worker->addFunction('status', function ($job) {
    foreach ([1, 2, 3] as $part) {
        $job->sendStatus($part, 3);
    }
    return 'done';
});
$worker->addFunction('data', function ($job) {
    $job->sendData('part1');
    $job->sendData('part2');
    return 'done';
});
$worker->addFunction('warn', function ($job) {
    $job->sendWarning('careful');
    return 'done';
});
$worker->addFunction('fail', function ($job) { $job->sendFail(); });
$worker->addFunction('exception', function ($job) { $job->sendException('boom'); });
$worker->addFunction('hang', function ($job) {
    if (file_exists($job->workload())) {
        return 'second';
    }
    touch($job->workload());
    sleep(60);
    return 'too late';
});
$worker->addFunction('log', function ($job) {
    [$path, $line] = explode("\n", $job->workload(), 2);
    file_put_contents($path, "$line\n", FILE_APPEND);
    return 'done';
});
while ($worker->work() || $worker->returnCode() === GEARMAN_WORK_FAIL || $worker->returnCode() === GEARMAN_WORK_EXCEPTION) {
}
fwrite(STDERR, 'work: ' . $worker->returnCode() . ' ' . $worker->error() . "\n");
