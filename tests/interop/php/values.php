<?php
// Serialized values, one a line, in hex.
//   values.php again FILE         those of FILE, read and written again
//   values.php random SEED COUNT  random ones, with references, enums and objects of every kind

namespace Conveyor\Test;

enum Suit
{
    case Hearts;
    case Spades;
}

class Base
{
    public $open;
    protected $guarded;
    private $own;

    public function __construct($open, $guarded, $own)
    {
        [$this->open, $this->guarded, $this->own] = [$open, $guarded, $own];
    }
}

class Child extends Base
{
    private $own = 'child';
}

function text(): string
{
    $length = mt_rand(0, 10);
    return $length === 0 ? '' : random($length);
}

function random(int $length): string
{
    $text = '';
    for ($at = 0; $at < $length; $at++) {
        $text .= chr(mt_rand(0, 255));
    }
    return $text;
}

function number(): float
{
    switch (mt_rand(0, 4)) {
        case 0: return mt_rand(-100000, 100000) / 1000;
        case 1: return [INF, -INF, NAN, 0.0, -0.0, 1e15, 1e16, 1e17, 1e18, 1e-4, 1e-5, PHP_FLOAT_MAX, PHP_FLOAT_MIN][mt_rand(0, 12)];
        case 2: return mt_rand() * 10.0 ** mt_rand(-30, 30);
        default: return unpack('d', random(8))[1];
    }
}

function value(int $depth, array &$objects)
{
    switch (mt_rand(0, $depth > 0 ? 13 : 6)) {
        case 0: return null;
        case 1: return mt_rand(0, 1) === 1;
        case 2: return [mt_rand(-1000, 1000), PHP_INT_MIN, PHP_INT_MAX, 0][mt_rand(0, 3)];
        case 3: return number();
        case 4: return text();
        case 5: return mt_rand(0, 1) === 1 ? Suit::Hearts : Suit::Spades;
        case 6: return $objects ? $objects[array_rand($objects)] : 'none yet';
        case 7:
            $object = new \stdClass();
            $objects[] = $object;
            for ($count = mt_rand(0, 4); $count > 0; $count--) {
                $name = mt_rand(0, 1) === 1 ? 'p' . mt_rand(0, 9) : (string) mt_rand(0, 99);
                $object->$name = value($depth - 1, $objects);
            }
            return $object;
        case 8:
        case 9:
            $class = mt_rand(0, 1) === 1 ? Base::class : Child::class;
            $parts = [value($depth - 1, $objects), value($depth - 1, $objects), value($depth - 1, $objects)];
            $object = new $class(...$parts);
            $objects[] = $object;
            return $object;
        case 10: return new \ArrayObject([value($depth - 1, $objects), value($depth - 1, $objects)]);
        case 11:
            $shared = value($depth - 1, $objects);
            return [&$shared, value($depth - 1, $objects), &$shared, 'again' => &$shared];
        default:
            $array = [];
            for ($count = mt_rand(0, 5); $count > 0; $count--) {
                $key = [mt_rand(-9, 99), text(), (string) mt_rand(0, 9), '0' . mt_rand(0, 9)][mt_rand(0, 3)];
                $array[$key] = value($depth - 1, $objects);
            }
            return $array;
    }
}

if ($argv[1] === 'again') {
    foreach (file($argv[2], FILE_IGNORE_NEW_LINES) as $line) {
        echo bin2hex(serialize(unserialize(hex2bin($line)))), "\n";
    }
} else {
    mt_srand((int) $argv[2]);
    for ($left = (int) $argv[3]; $left > 0; $left--) {
        $objects = [];
        echo bin2hex(serialize(value(4, $objects))), "\n";
    }
}
