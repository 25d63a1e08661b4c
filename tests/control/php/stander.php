<?php

// A worker that behaves as those of the original packages: it waits for its addresses on standard input (3 s a look, given up
// at the 7th), then counts in a file, and checks before every step what the process manager publishes, as the object
// TerminatorPauseStander does: one message a check, paused until it sees a continue, looking every 5 s.
//
//   php stander.php FILE

declare(strict_types=1);

final class Terminate extends Exception
{
}

final class Stander
{
    /** 5 s, in microseconds. */
    private const PAUSE = 5000000;

    private ?ZMQSocket $subscriber = null;
    private bool $mustPause = false;
    private bool $mustContinue = false;

    public function __construct(private string $address)
    {
    }

    public function check(): void
    {
        $this->receive();
        if ($this->mustPause) {
            while (!$this->mustContinue) {
                usleep(self::PAUSE);
                $this->receive();
            }
            $this->mustPause = $this->mustContinue = false;
        }
    }

    private function receive(): void
    {
        if ($this->subscriber === null) {
            $this->subscriber = (new ZMQContext())->getSocket(ZMQ::SOCKET_SUB);
            $this->subscriber->connect($this->address);
            $this->subscriber->setSockOpt(ZMQ::SOCKOPT_SUBSCRIBE, '');
        }
        $message = $this->subscriber->recv(ZMQ::MODE_NOBLOCK);
        if ($message === false) {
            return;
        }
        $lists = json_decode($message, true);
        if (!is_array($lists)) {
            throw new RuntimeException("no lists: $message");
        }
        $me = getmypid();
        if (in_array($me, $lists['Pids_for_terminate'], true)) {
            throw new Terminate();
        }
        if (!$this->mustPause && in_array($me, $lists['Pids_for_pause'], true)) {
            $this->mustPause = true;
        } elseif ($this->mustPause && in_array($me, $lists['Pids_for_continue'], true)) {
            $this->mustContinue = true;
        }
    }
}

function addresses(): array
{
    stream_set_blocking(STDIN, false);
    for ($look = 0; $look < 7; $look++) {
        [$read, $write, $except] = [[STDIN], null, null];
        if (stream_select($read, $write, $except, 3)) {
            $text = fread(STDIN, 8192);
            $addresses = json_decode((string) $text, true);
            if (is_array($addresses)) {
                return $addresses;
            }
            echo json_encode(['error_level' => 'critical', 'error_reason' => "Worker didn't receive correct dto."]);
            exit(1);
        }
    }
    exit(2);
}

$addresses = addresses();
ksort($addresses);
if (array_keys($addresses) !== ['publisher_pm', 'publisher_pulsar', 'push_pulsar', 'request_pulsar_rs']) {
    exit(3);
}
$stander = new Stander($addresses['publisher_pm']);
try {
    for ($number = 1;; $number++) {
        $stander->check();
        file_put_contents($argv[1], "$number\n", FILE_APPEND);
        echo "step $number\n";
        usleep(10000);
    }
} catch (Terminate $terminate) {
    exit(feof(STDIN) ? 4 : 64);
}
