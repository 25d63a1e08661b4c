<?php

/**
 * The control channel of a worker-manager, for any PHP program that it starts. PHP 7.4 and later, no extension.
 *
 *     require 'Control.php';
 *     $control = Conveyor\Control::fromEnv();
 *     while ($step = next_step()) {
 *         $control->checkpoint();       // waits while paused; throws Conveyor\Terminated when it is to end
 *         do($step);
 *     }
 *
 * A program that no manager has started may call all of it: nothing happens.
 */

declare(strict_types=1);

namespace Conveyor;

/** The manager wants this process to end. What the job answers still counts. */
final class Terminated extends \Exception
{
    /** For want of memory or processors: the job is to be done again, and that is not its fault. */
    public bool $shed;

    public function __construct(bool $shed)
    {
        parent::__construct('the worker is to end');
        $this->shed = $shed;
    }
}

final class Control
{
    private const LINE_BYTES = 65536;

    /** @var resource|null */
    private $channel;
    private string $input = '';
    private int $sequence = 0;
    private bool $paused = false;
    private ?int $toSettle = null;
    private bool $terminated = false;
    private bool $shed = false;
    private bool $endWithManager;

    /** Addresses and settings that the manager has told. @var array<string, mixed> */
    public array $hello = [];

    /** @var array<string, float> */
    private array $jobs = [];

    /**
     * The channel this process was started with, or one that does nothing.
     *
     * @param bool $endWithManager checkpoint() throws when the manager is gone
     */
    public static function fromEnv(string $name = '', bool $endWithManager = true): self
    {
        $number = getenv('CONVEYOR_CONTROL_FD');
        if ($number === false) {
            return new self(null, $name, $endWithManager);
        }
        $channel = fopen('php://fd/' . (int) $number, 'r+b');
        if ($channel === false) {
            throw new \RuntimeException("CONVEYOR_CONTROL_FD=$number is not open");
        }
        // Programs that this one starts are no performers.
        putenv('CONVEYOR_CONTROL_FD');
        putenv('LISTEN_FDS');
        return new self($channel, $name, $endWithManager);
    }

    /** @param resource|null $channel */
    private function __construct($channel, string $name, bool $endWithManager)
    {
        $this->channel = $channel;
        $this->endWithManager = $endWithManager;
        if ($channel !== null) {
            stream_set_blocking($channel, false);
            stream_set_read_buffer($channel, 0);
            stream_set_write_buffer($channel, 0);
            $this->say([
                'type' => 'hello', 'version' => 1, 'codec' => 'json', 'pid' => getmypid(),
                'name' => $name !== '' ? $name : basename($_SERVER['argv'][0] ?? 'php'), 'kind' => 'php',
            ]);
        }
    }

    /**
     * Hears what the manager says, and does not return while it wants a pause. Call it between the steps of a job.
     *
     * @throws Terminated
     */
    public function checkpoint(): void
    {
        $this->hear(0);
        while ($this->paused && !$this->terminated) {
            $this->settle('paused');
            $this->hear(null);
        }
        $this->settle('resumed');
        if ($this->terminated) {
            throw new Terminated($this->shed);
        }
    }

    /** Whether the manager wants this process to end; does not wait for the end of a pause. */
    public function isTerminated(): bool
    {
        $this->hear(0);
        return $this->terminated;
    }

    /** A job was taken. */
    public function jobStarted(string $handle, string $function): void
    {
        $this->jobs[$handle] = microtime(true);
        $this->say(['type' => 'job_started', 'handle' => $handle, 'function' => $function]);
    }

    /** A job was answered. */
    public function jobEnded(string $handle, bool $ok): void
    {
        $ms = (int) round(1000 * (microtime(true) - ($this->jobs[$handle] ?? microtime(true))));
        unset($this->jobs[$handle]);
        $this->say(['type' => 'job_ended', 'handle' => $handle, 'ok' => $ok, 'ms' => max(0, $ms)]);
    }

    /** Something for the manager's log. */
    public function note(string $text): void
    {
        $this->say(['type' => 'note', 'text' => $text]);
    }

    private function settle(string $type): void
    {
        if ($this->toSettle !== null) {
            $this->say(['type' => $type, 'sequence' => $this->toSettle]);
            $this->toSettle = null;
        }
    }

    /** Reads what is there, or waits for something. */
    private function hear(?int $seconds): void
    {
        while ($this->channel !== null) {
            [$read, $write, $except] = [[$this->channel], null, null];
            $ready = @stream_select($read, $write, $except, $seconds);
            if ($ready === 0) {
                return;
            }
            if ($ready === false) {
                // A signal, whose handler may have something to say.
                return;
            }
            $part = @fread($this->channel, 8192);
            if ($part === '' || $part === false) {
                $this->gone();
                return;
            }
            $this->input .= $part;
            while (($end = strpos($this->input, "\n")) !== false) {
                $line = substr($this->input, 0, $end);
                $this->input = substr($this->input, $end + 1);
                $this->obey($line);
            }
            if (strlen($this->input) > self::LINE_BYTES) {
                $this->gone();
            }
            $seconds = 0;
        }
    }

    private function obey(string $line): void
    {
        $said = json_decode($line, true);
        if (!is_array($said) || !is_string($said['type'] ?? null)) {
            $this->channel = null;
            $this->paused = false;
            fwrite(STDERR, "the manager is not understood: its channel is closed\n");
            return;
        }
        if ($said['type'] === 'hello') {
            $this->hello = $said;
            return;
        }
        $sequence = (int) ($said['sequence'] ?? 0);
        switch ($said['type']) {
            case 'ping':
                break;
            case 'terminate':
                $this->terminated = true;
                $this->shed = (bool) ($said['shed'] ?? false);
                break;
            case 'pause':
            case 'resume':
                // The newest counts, in whatever order they come.
                if ($sequence >= $this->sequence) {
                    $this->sequence = $sequence;
                    $this->paused = $said['type'] === 'pause';
                    $this->toSettle = $sequence;
                }
                break;
            default:
                $this->note("a message of type {$said['type']} was passed over");
                return;
        }
        $this->say(['type' => 'ack', 'sequence' => $sequence]);
    }

    private function gone(): void
    {
        $this->channel = null;
        $this->paused = false;
        $this->terminated = $this->terminated || $this->endWithManager;
    }

    /** @param array<string, mixed> $message */
    private function say(array $message): void
    {
        if ($this->channel === null) {
            return;
        }
        $line = json_encode($message, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE) . "\n";
        for ($at = 0; $at < strlen($line); $at += $written) {
            $written = @fwrite($this->channel, $at === 0 ? $line : substr($line, $at));
            if ($written === false || $written === 0) {
                [$read, $write, $except] = [null, [$this->channel], null];
                // A manager that does not read for a second is told nothing more.
                if (!@stream_select($read, $write, $except, 1)) {
                    $this->gone();
                    return;
                }
                $written = (int) @fwrite($this->channel, substr($line, $at));
                if ($written === 0) {
                    $this->gone();
                    return;
                }
            }
        }
    }
}
