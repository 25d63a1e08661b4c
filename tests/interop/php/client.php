<?php
// Client on PHP's extension; see ../README.md.
[, $host, $port, $operation, $function, $input, $output] = $argv;
$extra = $argv[7] ?? '';
$payload = file_get_contents($input);
function say(string $line): void { fwrite(STDOUT, $line . "\n"); }

$client = new GearmanClient();
$client->addServer($host, (int) $port);
$client->setTimeout(60000);
$client->setStatusCallback(fn ($t) => say("STATUS {$t->taskNumerator()}/{$t->taskDenominator()}"));
$client->setDataCallback(fn ($t) => say('DATA ' . $t->data()));
$client->setWarningCallback(fn ($t) => say('WARNING ' . $t->data()));
$client->setFailCallback(fn ($t) => say('FAIL'));
$client->setExceptionCallback(fn ($t) => say('EXCEPTION ' . $t->data()));
$client->setCreatedCallback(fn ($t) => say('CREATED'));
$client->setCompleteCallback(function ($t) use ($output) {
    file_put_contents($output, $t->data());
    say('COMPLETE');
});

switch ($operation) {
    case 'normal': $client->addTask($function, $payload); break;
    case 'high': $client->addTaskHigh($function, $payload); break;
    case 'low': $client->addTaskLow($function, $payload); break;
    case 'bg': $client->addTaskBackground($function, $payload); break;
    case 'high_bg': $client->addTaskHighBackground($function, $payload); break;
    case 'low_bg': $client->addTaskLowBackground($function, $payload); break;
    case 'unique':
        $client->addTask($function, $payload, null, $extra);
        $client->addTask($function, $payload, null, $extra);
        break;
    case 'many':
        $right = 0;
        $client->setCreatedCallback(fn ($t) => null);
        $client->setCompleteCallback(function ($t) use (&$right, $payload) {
            $right += $t->data() === strrev("$payload " . $t->unique()) ? 1 : 0;
        });
        for ($i = 0; $i < 200; $i++) {
            $client->addTask($function, "$payload $i", null, (string) $i);
        }
        break;
    default: exit(3);
}
if (!$client->runTasks()) {
    // A failed job is an event, not an error.
    fwrite(STDERR, 'runTasks: ' . $client->returnCode() . ' ' . $client->error() . "\n");
}
if ($operation === 'many') {
    say("MANY $right");
}
