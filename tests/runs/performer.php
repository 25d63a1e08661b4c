<?php
// A stock performer of PHP that writes down what it does, before it answers: task, try, outcome.
[, $host, $port, $ledger] = $argv;
$worker = new GearmanWorker();
// It throws as long as there is no server.
while (true) {
    try {
        $worker->addServer($host, (int) $port);
        break;
    } catch (GearmanException) {
        usleep(20000);
    }
}
$worker->setTimeout(200);
$worker->addFunction('work', function ($job) use ($ledger) {
    ['task_id' => $id, 'attempt' => $attempt] = json_decode($job->workload(), true);
    // 2 % fail at first, a tenth of these for good.
    $fails = $id % 500 === 0 || ($id % 50 === 0 && $attempt === 1);
    file_put_contents($ledger, "$id $attempt " . ($fails ? 'error' : 'ok') . "\n", FILE_APPEND);
    return json_encode(['error_exists' => $fails, 'error_message' => $fails ? "no luck with $id" : null, 'task_id' => $id]);
});
while (true) {
    // Without a server it comes back at once.
    if (!@$worker->work() && $worker->returnCode() !== GEARMAN_TIMEOUT) {
        usleep(20000);
    }
}
