<?php
// A performer as users of the original packages write it: parameters by unserialize(), the answer an ExecutionDto.
namespace TasksInspector\Inventory;

class ExecutionDto
{
    protected $errorExist = false;
    protected $errorMessage;
    protected $executionMessage;
    protected $taskId;
    protected $criticalError = false;

    public function __construct($taskId, $message, $error)
    {
        [$this->taskId, $this->executionMessage, $this->errorMessage] = [$taskId, $message, $error];
        $this->errorExist = $error !== null;
    }
}

[, $host, $port] = $argv;
$worker = new \GearmanWorker();
$worker->addServer($host, (int) $port);
$worker->addFunction('work', function ($job) {
    $given = unserialize($job->workload());
    $said = gettype($given) . ' ' . json_encode($given);
    $error = ($given['parts'] ?? null) === [] ? 'no parts' : null;
    return serialize(new ExecutionDto($given['task_id'], $said, $error));
});
while ($worker->work()) {
}
