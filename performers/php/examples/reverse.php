<?php

// conveyor worker -f reverse --persistent --jobs 4 -- php performers/php/examples/reverse.php

declare(strict_types=1);

require __DIR__ . '/../Performer.php';

Conveyor\Performer::run(function (Conveyor\Job $job): string {
    // Noise, on purpose: it harms nothing.
    echo "reversing {$job->handle}\ncomplete 3\nno!";
    fwrite(STDERR, "a note\n");
    $job->progress(0, 1);
    $reversed = strrev($job->payload);
    $job->progress(1, 1);
    return $reversed;
});
