<?php
// Programs as users of gearman-conveyor have them, on PHP's extension.
//   family.php client PORT FUNCTION MANAGER   adds tasks and a manager task, prints one line of JSON an answer
//   family.php worker PORT                    serves "perform" and "manage"
//   family.php perform                        does the task on standard input, for `conveyor worker`
//   family.php write                          prints a serialized manager task
//   family.php read FILE                      prints what the getters of the one in FILE say

require __DIR__ . '/classes.php';

use Application\ResizeDto;
use TasksInspector\Inventory\ExecutionDto;

function line($value): string { return json_encode($value, JSON_UNESCAPED_SLASHES | JSON_THROW_ON_ERROR) . "\n"; }

/** Text as it is, other bytes in hex. */
function text($value) { return is_string($value) && !preg_match('//u', $value) ? bin2hex($value) : $value; }

function client(string $port, string $function, string $manager): void
{
    $client = new GearmanClient();
    $client->addServer('127.0.0.1', (int) $port);
    $client->setTimeout(20000);
    $client->setCompleteCallback(function ($task) {
        $answer = unserialize($task->data());
        $is = $answer instanceof ExecutionDto;
        echo line([$task->unique(), $is ? [
            $answer->isErrorExist(), $answer->isCriticalError(), $answer->getTaskId(), $answer->getErrorMessage(),
            $answer->getExecutionMessage() instanceof ResizeDto
                ? ['dto', $answer->getExecutionMessage()->getTaskId(), text($answer->getExecutionMessage()->getFile())]
                : text($answer->getExecutionMessage()),
        ] : 'no ExecutionDto: ' . $task->data()]);
    });
    $client->addTask($function, serialize(new ResizeDto(7, 'a.jpg')), null, 'object');
    $client->addTaskLow($function, serialize(new ResizeDto('a-7', "\xff\0.jpg")), null, 'object low');
    $client->addTask($function, serialize(['task_id' => 0, 'file' => 'b.jpg']), null, 'array');
    $client->addTaskLow($function, serialize(['task_id' => '', 'file' => 'bad']), null, 'array low');
    $client->addTask($function, serialize(['task_id' => '7', 'file' => 'worst']), null, 'worst');
    if ($manager !== '') {
        $client->addTaskHigh($manager, serialize(Application\manager_task()), null, 'manager');
    }
    if (!$client->runTasks()) {
        fwrite(STDERR, 'runTasks: ' . $client->returnCode() . ' ' . $client->error() . "\n");
        exit(1);
    }
}

/** What a performer answers. */
function perform(string $workload): string
{
    [$id, $file] = Application\resize_of($task = unserialize($workload));
    return match ($file) {
        'bad' => serialize((new ExecutionDto())->failed('no luck', null)),
        'worst' => serialize((new ExecutionDto())->failed('no database', $id, true)),
        'garbage' => 'Warning: Undefined variable',
        'false' => serialize(false),
        'other class' => serialize($task),
        'empty' => '',
        'dto' => serialize((new ExecutionDto())->done($task, $id)),
        default => serialize((new ExecutionDto())->done("resized $file", $id)),
    };
}

function worker(string $port): void
{
    $worker = new GearmanWorker();
    $worker->addServer('127.0.0.1', (int) $port);
    $worker->addFunction('perform', function ($job) {
        [, $file] = Application\resize_of(unserialize($job->workload()));
        if ($file === 'exception') {
            $job->sendException('Adapter die in Exception');
            return;
        }
        // As the packages do: complete by hand, and return nothing.
        $job->sendComplete(perform($job->workload()));
    });
    $worker->addFunction('manage', function ($job) {
        $task = unserialize($job->workload());
        $job->sendComplete(serialize((new ExecutionDto())->done(line(Application\told($task)), $task->getTaskId())));
    });
    while ($worker->work() || in_array($worker->returnCode(), [GEARMAN_WORK_FAIL, GEARMAN_WORK_EXCEPTION], true)) {
    }
    fwrite(STDERR, 'work: ' . $worker->returnCode() . ' ' . $worker->error() . "\n");
}

switch ($argv[1]) {
    case 'client': client($argv[2], $argv[3], $argv[4] ?? ''); break;
    case 'worker': worker($argv[2]); break;
    case 'perform': echo perform(stream_get_contents(STDIN)); break;
    case 'write': echo serialize(Application\manager_task()); break;
    case 'read': echo line(Application\told(unserialize(file_get_contents($argv[2])))); break;
}
