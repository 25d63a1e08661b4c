<?php

/**
 * Does one job after another under `conveyor worker --persistent`. PHP 7.4 and later, no extension.
 *
 *     require 'Performer.php';
 *     Conveyor\Performer::run(function (Conveyor\Job $job) {
 *         $job->progress(1, 2);
 *         return strrev($job->payload);
 *     });
 *
 * What is returned is the result. What is thrown ends the job as an exception, or as a plain failure when it is
 * Conveyor\Failed; the process lives on. echo and print are noise and harm nothing. A process that exits in the
 * middle of a job has crashed: the job goes back to the server.
 */

declare(strict_types=1);

namespace Conveyor;

/** Thrown by a job that fails without being an exception. */
final class Failed extends \Exception
{
}

/** A job. All of its texts are bytes. */
final class Job
{
    public string $function;
    public string $handle;
    public string $unique;
    public string $payload;

    /** @var Performer */
    private $performer;

    public function __construct(
        Performer $performer,
        string $handle,
        string $function,
        string $unique,
        string $payload
    ) {
        $this->performer = $performer;
        $this->handle = $handle;
        $this->function = $function;
        $this->unique = $unique;
        $this->payload = $payload;
    }

    /** So many parts of so many are done. */
    public function progress(int $numerator, int $denominator): void
    {
        if ($numerator < 0 || $denominator < 0) {
            throw new \InvalidArgumentException('progress is counted from 0');
        }
        $this->performer->write("progress $numerator $denominator\n");
    }

    /** Sends a part of the result. */
    public function data(string $bytes): void
    {
        $this->performer->message('data', $bytes);
    }

    public function warning(string $text): void
    {
        $this->performer->message('warning', $text);
    }
}

final class Performer
{
    /** @var resource */
    private $jobs;

    /** @var resource */
    private $messages;

    /**
     * Does jobs until it is told to stop.
     *
     * @param callable(Job): (string|int|float|bool|null|object) $perform
     */
    public static function run(callable $perform): void
    {
        if (getenv('CONVEYOR_PERSISTENT') === false) {
            fwrite(STDERR, "run this as: conveyor worker -f FUNCTION --persistent -- php FILE\n");
            exit(2);
        }
        (new self())->loop($perform);
    }

    private function __construct()
    {
        $messages = fopen('php://fd/3', 'wb');
        $jobs = fopen('php://fd/4', 'rb');
        if ($messages === false || $jobs === false) {
            throw new \RuntimeException('descriptors 3 and 4 are not open');
        }
        stream_set_write_buffer($messages, 0);
        $this->messages = $messages;
        $this->jobs = $jobs;
    }

    private function loop(callable $perform): void
    {
        $this->write("ready 1\n");
        while (($job = $this->next()) !== null) {
            try {
                $result = self::text($perform($job));
                $word = 'complete';
            } catch (Failed $failed) {
                [$word, $result] = ['fail', $failed->getMessage()];
            } catch (\Throwable $thrown) {
                [$word, $result] = ['exception', get_class($thrown) . ': ' . $thrown->getMessage()];
            }
            $this->message($word, $result);
            unset($job, $result);
        }
    }

    /** The next job; null when there will be none. */
    private function next(): ?Job
    {
        $line = fgets($this->jobs, 257);
        if ($line === false || $line === "stop\n") {
            return null;
        }
        if (preg_match('/\Ajob (\d+) (\d+) (\d+) (\d+)\n\z/', $line, $lengths) !== 1) {
            throw new \RuntimeException('not a job: ' . json_encode($line, JSON_INVALID_UTF8_SUBSTITUTE));
        }
        $handle = $this->read((int) $lengths[1]);
        $function = $this->read((int) $lengths[2]);
        $unique = $this->read((int) $lengths[3]);
        return new Job($this, $handle, $function, $unique, $this->read((int) $lengths[4]));
    }

    private function read(int $length): string
    {
        $bytes = '';
        while (strlen($bytes) < $length) {
            $part = fread($this->jobs, $length - strlen($bytes));
            if ($part === false || $part === '') {
                throw new \RuntimeException('a job without its end');
            }
            $bytes .= $part;
        }
        return $bytes;
    }

    /** @internal */
    public function message(string $word, string $bytes): void
    {
        $this->write($word . ' ' . strlen($bytes) . "\n" . $bytes);
    }

    /** @internal */
    public function write(string $bytes): void
    {
        for ($at = 0; $at < strlen($bytes); $at += $written) {
            $written = fwrite($this->messages, $at === 0 ? $bytes : substr($bytes, $at));
            if ($written === false || $written === 0) {
                throw new \RuntimeException('the worker has gone');
            }
        }
    }

    /** @param mixed $result */
    private static function text($result): string
    {
        if ($result === null || is_scalar($result) || (is_object($result) && method_exists($result, '__toString'))) {
            return (string) $result;
        }
        throw new \UnexpectedValueException('a result must be a string, not ' . gettype($result));
    }
}
