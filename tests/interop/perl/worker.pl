# Worker on Gearman::Worker; see ../README.md.
use strict;
use warnings;
use Gearman::Worker;

my ($host, $port) = @ARGV;
my $worker = Gearman::Worker->new(job_servers => ["$host:$port"]);
$worker->register_function(reverse => sub { scalar reverse $_[0]->arg });
$worker->register_function(echo    => sub { $_[0]->arg });
$worker->register_function(empty   => sub { '' });
$worker->register_function(status  => sub { $_[0]->set_status($_, 3) for 1 .. 3; 'done' });
$worker->register_function(data => sub { $worker->send_work_data($_[0], $_) for qw(part1 part2); 'done' });
$worker->register_function(warn => sub { $worker->send_work_warning($_[0], 'careful'); 'done' });
$worker->register_function(fail => sub { undef });
$worker->register_function(exception => sub { $worker->send_work_exception($_[0], 'boom'); undef });
$worker->register_function(hang => sub {
    my $path = $_[0]->arg;
    return 'second' if -e $path;
    open my $mark, '>', $path or die $!;
    close $mark;
    sleep 60;
    return 'too late';
});
$worker->register_function(log => sub {
    my ($path, $line) = split /\n/, $_[0]->arg, 2;
    open my $log, '>>', $path or die $!;
    print {$log} "$line\n";
    close $log;
    return 'done';
});
$worker->work while 1;
