# Client on Gearman::Client; see ../README.md.
use strict;
use warnings;
use Gearman::Client;
use Gearman::Task;

my ($host, $port, $operation, $function, $input, $output, $extra) = @ARGV;
$| = 1;
sub say_line { print "$_[0]\n" }
open my $in, '<:raw', $input or die $!;
my $payload = do { local $/; <$in> } // '';
my $client = Gearman::Client->new(job_servers => ["$host:$port"], exceptions => 1);

sub task {
    my ($bytes, %more) = @_;
    return Gearman::Task->new($function, \$bytes, {
        on_status    => sub { say_line("STATUS $_[0]/$_[1]") },
        on_data      => sub { say_line("DATA ${$_[0]}") },
        on_warning   => sub { say_line("WARNING ${$_[0]}") },
        on_fail      => sub { say_line('FAIL') },
        on_exception => sub { say_line("EXCEPTION $_[0]") },
        on_complete  => sub {
            open my $out, '>:raw', $output or die $!;
            print {$out} ${$_[0]};
            close $out;
            say_line('COMPLETE');
        },
        %more,
    });
}

my %waiting = (normal => 'normal', high => 'high', low => 'low');
my %background = (bg => 'normal', high_bg => 'high', low_bg => 'low');
my $set = $client->new_task_set;
if (my $priority = $waiting{$operation}) {
    $set->add_task(task($payload, priority => $priority));
    $set->wait(timeout => 60);
} elsif ($priority = $background{$operation}) {
    $client->dispatch_background(task($payload, priority => $priority)) or die 'not accepted';
    say_line('CREATED');
} elsif ($operation eq 'unique') {
    $set->add_task(task($payload, uniq => $extra)) for 1 .. 2;
    $set->wait(timeout => 60);
} elsif ($operation eq 'many') {
    my $right = 0;
    for my $i (0 .. 199) {
        my $bytes = "$payload $i";
        $set->add_task(Gearman::Task->new($function, \$bytes,
            { on_complete => sub { $right++ if ${$_[0]} eq reverse $bytes } }));
    }
    $set->wait(timeout => 60);
    say_line("MANY $right");
} else {
    exit 3;
}
