# Verifies messages with Mail::DKIM, without DNS. Arguments: a file of lines "name<TAB>TXT text", then message files.
# Prints "file<TAB>selector<TAB>result<TAB>detail" for each signature of a domain in that file.
use strict;
use warnings;
use Mail::DKIM::Verifier;
use Mail::DKIM::PublicKey;

my %record;
open my $keys, '<', shift @ARGV or die "keys: $!";
while (<$keys>) {
    chomp;
    my ($name, $text) = split /\t/, $_, 2;
    $record{$name} = $text;
}

no warnings 'redefine';
*Mail::DKIM::PublicKey::fetch_async = sub {
    my ($class, %asked) = @_;
    my $on_success = $asked{Callbacks}{Success} || sub { $_[0] };
    return sub {
        my $text = $record{"$asked{Selector}._domainkey.$asked{Domain}"} or return $on_success->();
        my $key = $class->parse($text);
        @$key{'Selector', 'Domain'} = @asked{'Selector', 'Domain'};
        $key->check;
        return $on_success->($key);
    };
};

for my $name (@ARGV) {
    open my $file, '<:raw', $name or die "$name: $!";
    my $verifier = Mail::DKIM::Verifier->new();
    while (my $read = read $file, my $block, 65536) { $verifier->PRINT($block) }
    $verifier->CLOSE;
    for my $signature ($verifier->signatures) {
        next unless exists $record{ $signature->selector . '._domainkey.' . $signature->domain };
        print join("\t", $name, $signature->selector, $signature->result, $signature->result_detail), "\n";
    }
}
